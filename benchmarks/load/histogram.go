package main

import "math/bits"

// A histogram of durations in nanoseconds in bounded memory: within a power of two the buckets are even, 128 of them,
// so that a value is told with an error below 1 %. As HdrHistogram has them.
const (
	fineBits = 7
	fine     = 1 << fineBits
	buckets  = (41 - fineBits + 1) * fine // up to 2^41 ns, 36 minutes
)

type histogram struct {
	counts [buckets]uint64
	total  uint64
	sum    float64
	max    int64
}

func bucketOf(value int64) int {
	if value < 0 {
		value = 0
	}
	if value < fine {
		return int(value)
	}
	exponent := bits.Len64(uint64(value)) - fineBits - 1
	index := (exponent+1)*fine + int(value>>exponent) - fine
	return min(index, buckets-1)
}

// middleOf is the value that stands for all of a bucket.
func middleOf(index int) float64 {
	if index < fine {
		return float64(index)
	}
	exponent := index/fine - 1
	return (float64(index%fine+fine) + 0.5) * float64(uint64(1)<<exponent)
}

func (h *histogram) add(value int64) {
	h.counts[bucketOf(value)]++
	h.total++
	h.sum += float64(value)
	h.max = max(h.max, value)
}

func (h *histogram) merge(other *histogram) {
	for index, count := range other.counts {
		h.counts[index] += count
	}
	h.total += other.total
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// quantile answers what this share of all values is at most, in nanoseconds; 0 where there are none.
func (h *histogram) quantile(share float64) float64 {
	wanted := uint64(share * float64(h.total))
	seen := uint64(0)
	for index, count := range h.counts {
		seen += count
		if count > 0 && seen > wanted {
			return min(middleOf(index), float64(h.max))
		}
	}
	return float64(h.max)
}

type latency struct {
	Mean float64 `json:"mean_ms"`
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

func (h *histogram) described() latency {
	const ms = 1e6
	mean := h.sum / float64(max(h.total, 1))
	return latency{
		mean / ms, h.quantile(0.5) / ms, h.quantile(0.9) / ms, h.quantile(0.99) / ms, h.quantile(0.999) / ms,
		float64(h.max) / ms,
	}
}
