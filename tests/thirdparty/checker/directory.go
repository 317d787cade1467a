package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const perTile = 256

// A directory is a log as tlog-tiles: checkpoint, tile/<L>/<N> and tile/entries/<N>.
type directory string

func (d directory) check(log note.Verifier, witnesses list, earlier map[string]*checkpoint) (*checkpoint, error) {
	cp, err := readCheckpoint(filepath.Join(string(d), "checkpoint"), log, witnesses)
	if err != nil {
		return nil, err
	}
	roots := map[uint64]tlog.Hash{cp.size: {}}
	for name, old := range earlier {
		if old.size > cp.size {
			return nil, fmt.Errorf("%s is of %d entries, and the directory has only %d", name, old.size, cp.size)
		}
		roots[old.size] = tlog.Hash{}
	}
	if err := d.replay(cp.size, roots); err != nil {
		return nil, err
	}
	if roots[cp.size] != cp.root {
		return nil, fmt.Errorf("the entries have the root %v, and the checkpoint says %v", roots[cp.size], cp.root)
	}
	tiles := tlog.TileHashReader(cp.tree(), tileReader{d})
	if root, err := tlog.TreeHash(int64(cp.size), tiles); err != nil || root != cp.root {
		return nil, fmt.Errorf("the tiles have not the root of the checkpoint: %v", err)
	}
	for name, old := range earlier {
		if roots[old.size] != old.root {
			return nil, fmt.Errorf("%s: the first %d entries are others", name, old.size)
		}
		if old.size > 0 {
			steps, err := tlog.ProveTree(int64(cp.size), int64(old.size), tiles)
			if err == nil {
				err = tlog.CheckTree(steps, int64(cp.size), cp.root, int64(old.size), old.root)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: not consistent with the directory: %w", name, err)
			}
		}
	}
	return cp, nil
}

// replay hashes every entry, compares every tile with what the entries make of it, and fills in the roots asked for.
func (d directory) replay(size uint64, roots map[uint64]tlog.Hash) error {
	hasher := rfc6962.DefaultHasher
	grown := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0)
	filling := map[uint][]byte{}
	var wrong error
	compare := func(level uint, n uint64) {
		want := filling[level]
		delete(filling, level)
		have, err := d.tile(tlog.Tile{H: 8, L: int(level), N: int64(n), W: len(want) / tlog.HashSize})
		if err == nil && !bytes.Equal(have, want) {
			err = fmt.Errorf("tile %d of level %d is not what the entries make", n, level)
		}
		wrong = errors.Join(wrong, err)
	}
	visit := func(id compact.NodeID, hash []byte) {
		if id.Level%8 != 0 {
			return
		}
		level := id.Level / 8
		if filling[level] = append(filling[level], hash...); len(filling[level]) == perTile*tlog.HashSize {
			compare(level, id.Index/perTile)
		}
	}
	if _, asked := roots[0]; asked {
		roots[0] = tlog.Hash(hasher.EmptyRoot())
	}
	for n := uint64(0); n*perTile < size && wrong == nil; n++ {
		entries, err := d.entries(n, int(min(perTile, size-n*perTile)))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := grown.Append(hasher.HashLeaf(entry), visit); err != nil {
				return err
			}
			if _, asked := roots[grown.End()]; asked {
				root, err := grown.GetRootHash(nil)
				if err != nil {
					return err
				}
				roots[grown.End()] = tlog.Hash(root)
			}
		}
	}
	for level := range filling {
		compare(level, (size>>(8*level))/perTile)
	}
	return wrong
}

// entries are the first `width` entries of a bundle, which must hold nothing but entries.
func (d directory) entries(n uint64, width int) ([][]byte, error) {
	path, raw, holds, err := d.read(tlog.Tile{H: 8, L: -1, N: int64(n), W: width})
	if err != nil {
		return nil, err
	}
	entries := make([][]byte, 0, holds)
	for range holds {
		if len(raw) < 2 || len(raw)-2 < int(binary.BigEndian.Uint16(raw)) {
			return nil, fmt.Errorf("%s ends within an entry", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(raw))
		entries, raw = append(entries, raw[2:end]), raw[end:]
	}
	if len(raw) > 0 {
		return nil, fmt.Errorf("%s goes on after its last entry", path)
	}
	return entries[:width], nil
}

func (d directory) tile(t tlog.Tile) ([]byte, error) {
	path, raw, holds, err := d.read(t)
	if err == nil && len(raw) != holds*tlog.HashSize {
		err = fmt.Errorf("%s has %d bytes", path, len(raw))
	}
	if err != nil {
		return nil, err
	}
	return raw[:t.W*tlog.HashSize], nil
}

// read takes the full tile where the partial one has been deleted, as the format allows; says how many it holds.
func (d directory) read(t tlog.Tile) (string, []byte, int, error) {
	for {
		path := strings.Replace("tile/"+strings.TrimPrefix(t.Path(), "tile/8/"), "tile/data/", "tile/entries/", 1)
		raw, err := os.ReadFile(filepath.Join(string(d), filepath.FromSlash(path)))
		if !errors.Is(err, fs.ErrNotExist) || t.W == perTile {
			return path, raw, t.W, err
		}
		t.W = perTile
	}
}

type tileReader struct{ directory }

func (tileReader) Height() int                     { return 8 }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	read := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if read[i], err = r.tile(t); err != nil {
			return nil, err
		}
	}
	return read, nil
}
