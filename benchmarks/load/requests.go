package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
)

// A body of the file: a line `EXPECTED<TAB>BODY`. EXPECTED is a fragment that the answer has to contain.
type request struct {
	expected []byte
	body     []byte
	stamp    int // where the running number goes; -1 for nowhere
}

// What is asked, and in which order: by Zipf's law, or one after the other, again and again.
type requests struct {
	all      []request
	digits   int
	number   atomic.Uint64 // of the next request; it is what is stamped
	sequence bool
	exponent float64
	seed     uint64
}

func readRequests(path, stamp string) ([]request, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []request
	for _, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		expected, body, found := bytes.Cut(line, []byte("\t"))
		if !found {
			return nil, fmt.Errorf("%s: line %d has no tab", path, len(all)+1)
		}
		at := -1
		if stamp != "" {
			if at = bytes.Index(body, []byte(stamp)); at < 0 {
				return nil, fmt.Errorf("%s: line %d has no %q", path, len(all)+1, stamp)
			}
		}
		all = append(all, request{expected, body, at})
	}
	return all, nil
}

// draw answers a function that gives one request after the other; each worker has its own, with its own seed.
func (r *requests) draw(worker int) func() (*request, uint64) {
	random := rand.New(rand.NewPCG(r.seed, uint64(worker)))
	var zipf *rand.Zipf
	if !r.sequence {
		zipf = rand.NewZipf(random, r.exponent, 1, uint64(len(r.all)-1))
	}
	return func() (*request, uint64) {
		number := r.number.Add(1) - 1
		if r.sequence {
			return &r.all[number%uint64(len(r.all))], number
		}
		return &r.all[zipf.Uint64()], number
	}
}

// write puts the whole request behind what is in `into`: head, length, body with its running number.
func (r *requests) write(into, head []byte, what *request, number uint64) []byte {
	into = append(into, head...)
	into = fmt.Appendf(into, "Content-Length: %d\r\n\r\n", len(what.body))
	start := len(into)
	into = append(into, what.body...)
	if what.stamp >= 0 {
		for at := start + what.stamp + r.digits - 1; at >= start+what.stamp; at-- {
			into[at] = byte('0' + number%10)
			number /= 10
		}
	}
	return into
}
