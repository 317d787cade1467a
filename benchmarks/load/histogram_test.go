package main

import (
	"math"
	"testing"
)

// A value is told within 1 % at every size, and the largest exactly.
func TestQuantileOfOneValue(t *testing.T) {
	for value := int64(1); value < 1<<40; value = value*3/2 + 1 {
		h := histogram{}
		h.add(value)
		if found := h.quantile(0.5); math.Abs(found-float64(value)) > 0.01*float64(value) {
			t.Errorf("%d is told as %f", value, found)
		}
		if h.max != value {
			t.Errorf("the largest of %d is %d", value, h.max)
		}
	}
}

// The quantiles of 1 to 10,000 are where they are by definition.
func TestQuantilesOfMany(t *testing.T) {
	h, other := histogram{}, histogram{}
	for value := int64(1); value <= 10_000; value++ {
		if value%2 == 0 {
			h.add(value)
		} else {
			other.add(value)
		}
	}
	h.merge(&other)
	for _, share := range []float64{0.5, 0.9, 0.99, 0.999} {
		if found := h.quantile(share); math.Abs(found-share*10_000) > 100 {
			t.Errorf("%f is told as %f", share, found)
		}
	}
}
