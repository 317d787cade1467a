package assertion

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	refresh = 5 * time.Minute
	soonest = 10 * time.Second
	again   = time.Second
	kept    = 24 * time.Hour
	mostJWK = 1 << 16
)

// Handler lets in only requests with an assertion for exactly this request. Of gives what was decided.
func Handler(verifier Verifier, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, first := once(r, "Muster-Assertion")
		decision, second := once(r, "Muster-Decision-Id")
		if !first || !second {
			problem(w, http.StatusForbidden, "not-through-the-gate", "missing")
			return
		}
		claims, err := verifier.Verify(token, r.Method, r.RequestURI, decision)
		var unproven Unproven
		switch {
		case err == nil:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, claims)))
		case errors.As(err, &unproven):
			problem(w, http.StatusForbidden, "not-through-the-gate", unproven.Code)
		default:
			problem(w, http.StatusServiceUnavailable, "undecided", "no-keys")
		}
	})
}

// once gives a header that is there exactly once; one with "_" for "-" is the same to some servers, and refused.
func once(r *http.Request, wanted string) (string, bool) {
	var found []string
	for name, values := range r.Header {
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), wanted) {
			found = append(found, values...)
		}
	}
	exact := r.Header.Values(wanted)
	if len(found) != 1 || len(exact) != 1 {
		return "", false
	}
	return exact[0], true
}

func problem(w http.ResponseWriter, status int, kind, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	document := map[string]any{
		"type": "urn:muster:problem:" + kind, "title": http.StatusText(status), "status": status, "code": code,
		"detail": "This service is reached through its gateway only.",
	}
	if err := json.NewEncoder(w).Encode(document); err != nil {
		log.Printf("muster: %v", err)
	}
}

// Keys are those of one tenant, fetched in the background and kept; no request waits for one.
type Keys struct {
	url   string
	mutex sync.RWMutex
	keys  map[string]ed25519.PublicKey
	at    time.Time
	asked chan struct{}
}

// NewKeys begins to fetch url, which is the service's /tenants/{tenant}/jwks.json, until ctx ends.
func NewKeys(ctx context.Context, url string) *Keys {
	made := &Keys{url: url, asked: make(chan struct{}, 1)}
	go made.keep(ctx)
	return made
}

// Key gives the key of this name.
func (k *Keys) Key(kid string) (ed25519.PublicKey, error) {
	k.mutex.RLock()
	defer k.mutex.RUnlock()
	if k.at.IsZero() || time.Since(k.at) > kept {
		return nil, ErrNoKeys
	}
	if k.keys[kid] == nil {
		select {
		case k.asked <- struct{}{}:
		default:
		}
	}
	return k.keys[kid], nil
}

func (k *Keys) keep(ctx context.Context) {
	for ctx.Err() == nil {
		keys, err := k.fetched(ctx)
		if err != nil {
			log.Printf("muster: the keys at %s could not be fetched: %v", k.url, err)
			pause(ctx, again, nil)
			continue
		}
		k.mutex.Lock()
		k.keys, k.at = keys, time.Now()
		k.mutex.Unlock()
		pause(ctx, soonest, nil)
		pause(ctx, refresh, k.asked)
	}
}

func pause(ctx context.Context, long time.Duration, early <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	case <-early:
	}
}

func private(address string) bool {
	parts, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := parts.Hostname()
	local := host == "localhost" || net.ParseIP(host).IsLoopback()
	return parts.Scheme == "https" || (parts.Scheme == "http" && local)
}

func (k *Keys) fetched(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !private(k.url) {
		return nil, errors.New("keys come by https, or by http from this machine")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultTransport.RoundTrip(request) // follows no redirect
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostJWK+1))
	if err != nil {
		return nil, err
	}
	if len(body) > mostJWK {
		return nil, errors.New("the answer is too long")
	}
	return ParseKeys(body)
}
