package assertion

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"
)

type ring map[string]ed25519.PublicKey

func (r ring) Key(kid string) (ed25519.PublicKey, error) { return r[kid], nil }

// TestCases holds every case of a file against its answer: those of testdata, or of MUSTER_CASES.
func TestCases(t *testing.T) {
	path := os.Getenv("MUSTER_CASES")
	if path == "" {
		path = "testdata/cases.json"
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Issuer, Audience, Tenant, Token, Method, Target, Decision, Want string
		Now                                                                   int64
		JWKS                                                                  json.RawMessage
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatal("there are no cases", err)
	}
	for _, each := range cases {
		t.Run(each.Name, func(t *testing.T) {
			keys, err := ParseKeys(each.JWKS)
			if err != nil {
				t.Fatal(err)
			}
			now := func() time.Time { return time.Unix(each.Now, 0) }
			verifier := Verifier{each.Issuer, each.Audience, each.Tenant, ring(keys), now}
			claims, err := verifier.Verify(each.Token, each.Method, each.Target, each.Decision)
			got := "ok"
			var unproven Unproven
			if errors.As(err, &unproven) {
				got = unproven.Code
			} else if err != nil {
				got = err.Error()
			}
			if got != each.Want {
				t.Errorf("got %s, want %s", got, each.Want)
			}
			if (claims != Claims{}) != (got == "ok") {
				t.Errorf("%s with claims %v", got, claims)
			}
		})
	}
}

// TestKeysAreReadStrictly refuses sets without a usable key, and with one twice.
func TestKeysAreReadStrictly(t *testing.T) {
	const good = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	if keys, err := ParseKeys([]byte(`{"keys":[` + good + `,{"kty":"RSA","kid":"b"}]}`)); err != nil || len(keys) != 1 {
		t.Error(keys, err)
	}
	for _, bad := range []string{
		``, `[]`, `{}`, `{"keys":[]}`, `{"keys":[` + good + `,` + good + `]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AA"}]}`, `{"keys":[{"kty":"RSA","kid":"a"}]}`,
	} {
		if keys, err := ParseKeys([]byte(bad)); err == nil {
			t.Errorf("%s gave %v", bad, keys)
		}
	}
}

// TestKeysComePrivately refuses to fetch keys over a network in the clear.
func TestKeysComePrivately(t *testing.T) {
	for address, want := range map[string]bool{
		"https://muster.example/x": true, "http://127.0.0.1:1/x": true, "http://localhost/x": true,
		"http://[::1]:2/x": true, "http://muster.example/x": false, "ftp://127.0.0.1/x": false, "://": false,
	} {
		if private(address) != want {
			t.Error(address, !want)
		}
	}
}
