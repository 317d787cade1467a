package main

import (
	"strconv"
	"sync"
)

// What came of a time: counted while it goes, told as JSON when it is over.
type counts struct {
	answered histogram // status 200, from the scheduled (open loop) or the sent instant (closed loop)
	served   histogram // the same, from the sent instant
	refused  histogram // status 503, from the sent instant
	statuses map[int]uint64
	wrong    uint64
	errors   uint64
	sent     uint64
	received uint64
	late     int64 // the most that a request was sent behind its schedule
	first    string
}

type report struct {
	Seconds  float64           `json:"seconds"`
	Requests uint64            `json:"requests"`
	Rate     float64           `json:"rate"`
	Latency  latency           `json:"latency"`
	Served   latency           `json:"served"`
	Refused  latency           `json:"refused"`
	Statuses map[string]uint64 `json:"statuses"`
	Wrong    uint64            `json:"wrong"`
	Errors   uint64            `json:"errors"`
	Unsent   uint64            `json:"unsent"`
	Late     float64           `json:"late_ms"`
	Sent     uint64            `json:"bytes_sent"`
	Received uint64            `json:"bytes_received"`
	First    string            `json:"first_failure,omitempty"`
	CPU      float64           `json:"cpu_seconds"`
}

func newCounts() *counts { return &counts{statuses: map[int]uint64{}} }

func (c *counts) merge(other *counts) {
	c.answered.merge(&other.answered)
	c.served.merge(&other.served)
	c.refused.merge(&other.refused)
	for status, count := range other.statuses {
		c.statuses[status] += count
	}
	c.wrong += other.wrong
	c.errors += other.errors
	c.sent += other.sent
	c.received += other.received
	c.late = max(c.late, other.late)
	if c.first == "" {
		c.first = other.first
	}
}

func (c *counts) fails(what string) {
	if c.first == "" {
		c.first = what[:min(len(what), 600)]
	}
}

func (c *counts) described(seconds float64) report {
	found := report{
		Seconds: seconds, Requests: c.answered.total, Rate: float64(c.answered.total) / seconds,
		Latency: c.answered.described(), Served: c.served.described(), Refused: c.refused.described(),
		Statuses: map[string]uint64{},
		Wrong:    c.wrong, Errors: c.errors, Late: float64(c.late) / 1e6, Sent: c.sent, Received: c.received,
		First: c.first,
	}
	for status, count := range c.statuses {
		found.Statuses[strconv.Itoa(status)] = count
	}
	return found
}

// What all workers count into: the window that is open. Closing it adds it to the whole.
type tally struct {
	mutex  sync.Mutex
	window *counts
	whole  *counts
}

func (t *tally) next() *counts {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	closed := t.window
	t.whole.merge(closed)
	t.window = newCounts()
	return closed
}
