package main

import (
	"runtime"
	"syscall"
	"time"
)

// waitingAtMost is how many requests that are due may wait for a connection; behind that the schedule stands still.
const waitingAtMost = 1 << 17

// pace puts each request's instant into the channel when it is due, on a thread of its own: the runtime's timers are
// a millisecond late.
func pace(begin, end time.Time, rate float64) <-chan time.Time {
	due := make(chan time.Time, waitingAtMost)
	go func() {
		runtime.LockOSThread()
		defer close(due)
		for slot := 0; ; slot++ {
			instant := begin.Add(duration(float64(slot) / rate))
			if !instant.Before(end) {
				return
			}
			if left := time.Until(instant); left > 0 {
				pause := syscall.NsecToTimespec(int64(left))
				_ = syscall.Nanosleep(&pause, nil) // woken early by a signal, it is early by that
			}
			due <- instant
		}
	}()
	return due
}
