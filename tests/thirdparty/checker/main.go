// Command checker reads a C2SP tlog-tiles directory with other people's libraries, and says yes (exit 0) or no (exit 1).
//
// It owns the walk over the directory and nothing else: notes and tile proofs are golang.org/x/mod's, nodes are
// transparency-dev/merkle's, and the formats of checkpoint, cosignature and .tlog-proof are transparency-dev/formats'. It
// refuses whatever it cannot read in full, and does not look at files that the checkpoint's size does not need.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

type question struct {
	dir, vkey, proof, entry, old string
	witnesses                    list
}

func main() {
	var q question
	flag.StringVar(&q.dir, "dir", "", "the log's directory; may be left out with -proof")
	flag.StringVar(&q.vkey, "vkey", "", "file with the log's verifier key, whose name is the origin")
	flag.StringVar(&q.proof, "proof", "", "a .tlog-proof")
	flag.StringVar(&q.entry, "entry", "", "file with the raw bytes of the entry that -proof is about")
	flag.StringVar(&q.old, "old", "", "an older signed checkpoint of this log")
	flag.Var(&q.witnesses, "witness", "verifier key of a witness that must have cosigned the proof, or else the directory")
	flag.Parse()
	if q.vkey == "" || flag.NArg() > 0 || (q.proof == "") != (q.entry == "") || (q.dir == "" && (q.proof == "" || q.old != "")) {
		flag.Usage()
		os.Exit(2)
	}
	said, err := answer(q)
	if err != nil {
		fmt.Fprintf(os.Stderr, "refused: %v\n", err)
		os.Exit(1)
	}
	fmt.Println("accepted: " + said)
}

func answer(q question) (string, error) {
	log, err := verifier(q.vkey)
	if err != nil {
		return "", err
	}
	var said []string
	earlier := map[string]*checkpoint{}
	if q.proof != "" {
		cp, index, err := included(q, log)
		if err != nil {
			return "", fmt.Errorf("%s: %w", q.proof, err)
		}
		earlier[q.proof] = cp
		said = append(said, fmt.Sprintf("the entry is number %d of %d", index, cp.size))
	}
	if q.old != "" {
		if earlier[q.old], err = readCheckpoint(q.old, log, nil); err != nil {
			return "", err
		}
	}
	if q.dir != "" {
		if q.proof != "" {
			q.witnesses = nil // they have been found in the proof, which may be of another checkpoint
		}
		cp, err := directory(q.dir).check(log, q.witnesses, earlier)
		if err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%d entries and all their tiles have the signed root, over %d earlier checkpoint(s)",
			cp.size, len(earlier)))
	}
	return strings.Join(said, "; "), nil
}

func verifier(path string) (note.Verifier, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(strings.TrimSpace(string(raw)))
}

type checkpoint struct {
	size uint64
	root tlog.Hash
}

func (c *checkpoint) tree() tlog.Tree { return tlog.Tree{N: int64(c.size), Hash: c.root} }

func readCheckpoint(path string, log note.Verifier, witnesses list) (*checkpoint, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cp, err := openCheckpoint(raw, log, witnesses)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cp, nil
}

func openCheckpoint(raw []byte, key note.Verifier, witnesses list) (*checkpoint, error) {
	others := make([]note.Verifier, len(witnesses))
	for i, vkey := range witnesses {
		var err error
		if others[i], err = fnote.NewVerifierForCosignatureV1(vkey); err != nil {
			return nil, fmt.Errorf("witness %q: %w", vkey, err)
		}
	}
	cp, _, signed, err := log.ParseCheckpoint(raw, key.Name(), key, others...)
	if err != nil {
		return nil, err
	}
	// The parser takes 007 for 7 and lets other lines follow; what Muster writes has one form.
	if string(cp.Marshal()) != signed.Text || len(cp.Hash) != tlog.HashSize || cp.Size > math.MaxInt64 {
		return nil, errors.New("the checkpoint has not the one form of origin, size and root")
	}
	for _, other := range others {
		found := false
		for _, s := range signed.Sigs {
			found = found || (s.Name == other.Name() && s.Hash == other.KeyHash())
		}
		if !found {
			return nil, fmt.Errorf("witness %s has not cosigned", other.Name())
		}
	}
	return &checkpoint{cp.Size, tlog.Hash(cp.Hash)}, nil
}

// included asks both libraries whether the entry is in the tree that the proof's own checkpoint signs.
func included(q question, log note.Verifier) (*checkpoint, uint64, error) {
	raw, err := os.ReadFile(q.proof)
	if err != nil {
		return nil, 0, err
	}
	entry, err := os.ReadFile(q.entry)
	if err != nil {
		return nil, 0, err
	}
	var p tlogproof.TLogProof
	if err := p.Unmarshal(raw); err != nil {
		return nil, 0, err
	}
	if !bytes.Equal(p.Marshal(), raw) { // the parser takes CRLF and index 007
		return nil, 0, errors.New("the proof has not the one form of a .tlog-proof")
	}
	cp, err := openCheckpoint(p.Checkpoint, log, q.witnesses)
	if err != nil {
		return nil, 0, err
	}
	path, hashes := make([][]byte, len(p.Hashes)), make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		path[i], hashes[i] = h[:], tlog.Hash(h)
	}
	leaf := tlog.RecordHash(entry)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, cp.size, leaf[:], path, cp.root[:]); err != nil {
		return nil, 0, err
	}
	return cp, p.Index, tlog.CheckRecord(hashes, int64(cp.size), cp.root, int64(p.Index), leaf)
}
