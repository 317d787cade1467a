// load drives an HTTP/1.1 server with prebuilt POST requests and tells what came back, as JSON: in a closed loop (each
// connection asks again when it is answered), or at a fixed rate, where latency counts from the instant at which a
// request was due, so that a server that stalls is not asked less. It runs on one core, and checks every answer.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type headers []string

func (h *headers) String() string { return strings.Join(*h, "; ") }

func (h *headers) Set(value string) error {
	*h = append(*h, value)
	return nil
}

type run struct {
	target   string
	head     []byte
	requests *requests
	tally    tally
	begin    time.Time // of the schedule
	from     time.Time // from when on it counts
	end      time.Time
	rate     float64
	schedule <-chan time.Time // none in a closed loop
	taken    atomic.Uint64
	count    uint64
	started  atomic.Uint64
}

func main() {
	var sent headers
	target := flag.String("target", "127.0.0.1:8080", "host:port, or unix:PATH")
	path := flag.String("path", "/", "of the URL")
	flag.Var(&sent, "header", "a further header line; may be repeated")
	bodies := flag.String("bodies", "", "a file of lines EXPECTED<TAB>BODY; EXPECTED has to stand in the answer")
	connections := flag.Int("connections", 64, "that are open at once")
	seconds := flag.Float64("seconds", 5, "how long it counts")
	warmUp := flag.Float64("warm-up", 1, "seconds before that")
	rate := flag.Float64("rate", 0, "requests a second at a fixed rate; 0 is a closed loop")
	order := flag.String("order", "zipf", "zipf, or sequence")
	exponent := flag.Float64("zipf", 1.1, "exponent of the law; the first line is drawn most often")
	seed := flag.Uint64("seed", 1, "of what is drawn")
	stamp := flag.String("stamp", "", "digits that stand in every body, and are replaced by a running number")
	first := flag.Uint64("first", 0, "the first such number")
	count := flag.Uint64("count", 0, "end after so many requests; 0 is no end but time")
	every := flag.Float64("every", 0, "seconds after which what came so far is told")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)

	all, err := readRequests(*bodies, *stamp)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	asked := &requests{
		all: all, digits: len(*stamp), sequence: *order == "sequence", exponent: *exponent, seed: *seed,
	}
	asked.number.Store(*first)
	r := run{
		target: *target, head: headOf(*path, sent), requests: asked, rate: *rate, count: *count,
		tally: tally{window: newCounts(), whole: newCounts()},
	}
	r.all(*connections, *warmUp, *seconds, *every)
}

func headOf(path string, sent headers) []byte {
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n", path)
	for _, line := range sent {
		fmt.Fprintf(&head, "%s\r\n", line)
	}
	return head.Bytes()
}

func (r *run) all(connections int, warmUp, seconds, every float64) {
	r.begin = time.Now()
	r.from = r.begin.Add(duration(warmUp))
	r.end = r.from.Add(duration(seconds))
	if r.rate > 0 {
		runtime.GOMAXPROCS(2) // one that sleeps until the next is due, one that works
		r.schedule = pace(r.begin, r.end, r.rate)
	}
	var workers sync.WaitGroup
	for worker := range connections {
		workers.Go(func() { r.work(worker) })
	}
	told := json.NewEncoder(os.Stdout)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		r.windows(every, told, stop)
	}()
	workers.Wait()
	over := time.Now()
	close(stop)
	<-stopped
	r.tally.next()
	whole := r.tally.whole.described(min(over.Sub(r.from).Seconds(), seconds))
	if r.rate > 0 {
		if due := uint64(r.rate * (warmUp + seconds)); due > r.taken.Load() {
			whole.Unsent = due - r.taken.Load()
		}
	}
	whole.CPU = cpu()
	told.Encode(map[string]report{"whole": whole})
}

// windows tells of each window as it ends.
func (r *run) windows(every float64, told *json.Encoder, stop chan struct{}) {
	if every <= 0 {
		<-stop
		return
	}
	opened := r.from
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Until(opened.Add(duration(every)))):
			now := time.Now()
			told.Encode(map[string]report{"window": r.tally.next().described(now.Sub(opened).Seconds())})
			opened = now
		}
	}
}

func (r *run) work(worker int) {
	connection := connection{target: r.target, until: r.end.Add(10 * time.Second)}
	defer connection.close()
	draw := r.requests.draw(worker)
	var buffer []byte
	for {
		due, more := r.next()
		if !more {
			return
		}
		r.taken.Add(1)
		what, number := draw()
		buffer = r.requests.write(buffer[:0], r.head, what, number)
		sent := time.Now()
		if due.IsZero() {
			due = sent
		}
		status, body, err := connection.ask(buffer)
		now := time.Now()
		if err != nil && now.After(r.end) {
			return // what is cut off behind the end is nobody's failure
		}
		if !due.Before(r.from) {
			r.note(what, due, sent, now, status, len(buffer), body, err)
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// next waits for a request's turn: the instant at which it is due, none in a closed loop; false at the end.
func (r *run) next() (time.Time, bool) {
	if r.count > 0 && r.started.Add(1) > r.count {
		return time.Time{}, false
	}
	if r.schedule == nil {
		return time.Time{}, time.Now().Before(r.end)
	}
	due, more := <-r.schedule
	return due, more && time.Now().Before(r.end)
}

func (r *run) note(what *request, due, sent, now time.Time, status, length int, body []byte, err error) {
	r.tally.mutex.Lock()
	defer r.tally.mutex.Unlock()
	counts := r.tally.window
	counts.late = max(counts.late, int64(sent.Sub(due)))
	if err != nil {
		counts.errors++
		counts.fails(err.Error())
		return
	}
	counts.statuses[status]++
	counts.sent += uint64(length)
	counts.received += uint64(len(body))
	switch {
	case status == 200 && bytes.Contains(body, what.expected):
		counts.answered.add(int64(now.Sub(due)))
		counts.served.add(int64(now.Sub(sent)))
	case status == 200:
		counts.wrong++
		counts.fails(fmt.Sprintf("no %s in %s", what.expected, body))
	default:
		counts.fails(fmt.Sprintf("%d %s", status, body))
		if status == 503 {
			counts.refused.add(int64(now.Sub(sent)))
		}
	}
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// cpu is what this process has used, in seconds.
func cpu() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
