// Package assertion verifies Muster-Assertion: the proof, for the backend behind a gateway, that this very request
// passed the gate. It is a JWT signed with EdDSA over Ed25519. It says nothing of the query and the body, and it holds
// for 30 s. Standard library only: copy the folder.
package assertion

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	typ     = "muster-assertion+jwt"
	leeway  = 5
	longest = 60
	most    = 8192
)

var texts = []string{"iss", "tenant", "aud", "jti", "sub", "sub_type", "action", "htm", "path_sha256"}

// Unproven is why a request is not shown to have passed the gate.
type Unproven struct{ Code string }

func (e Unproven) Error() string { return "muster: the assertion is refused: " + e.Code }

// ErrNoKeys says that no keys could be fetched yet: answer 503.
var ErrNoKeys = errors.New("muster: there are no keys to verify assertions with yet")

// Claims is what was decided.
type Claims struct {
	DecisionID, SubjectType, Subject, Action string
	Expires                                  int64
}

// Keyring gives the public key of a key ID; nil where there is none of this name, ErrNoKeys where there are none at all.
type Keyring interface {
	Key(kid string) (ed25519.PublicKey, error)
}

// Verifier verifies for one backend. Tenant is "default" where it is empty; Now is time.Now where it is nil.
type Verifier struct {
	Issuer, Audience, Tenant string
	Keys                     Keyring
	Now                      func() time.Time
}

// Verify gives the claims of this request's assertion. target is the request's raw target (http.Request.RequestURI),
// of which what stands before its "?" counts; decisionID its Muster-Decision-Id.
func (v Verifier) Verify(token, method, target, decisionID string) (Claims, error) {
	claims, err := v.signed(token)
	if err != nil {
		return Claims{}, err
	}
	for _, name := range texts {
		if _, ok := text(claims, name); !ok {
			return Claims{}, Unproven{"malformed"}
		}
	}
	if err := v.timely(claims); err != nil {
		return Claims{}, err
	}
	path, _, _ := strings.Cut(target, "?")
	hash := sha256.Sum256([]byte(path))
	tenant := v.Tenant
	if tenant == "" {
		tenant = "default"
	}
	for _, each := range [][2]string{
		{"iss", v.Issuer}, {"tenant", tenant}, {"aud", v.Audience}, {"htm", method},
		{"path_sha256", hex.EncodeToString(hash[:])}, {"jti", decisionID},
	} {
		if said, _ := text(claims, each[0]); said != each[1] {
			return Claims{}, Unproven{"wrong-" + each[0]}
		}
	}
	subject, _ := text(claims, "sub")
	kind, _ := text(claims, "sub_type")
	action, _ := text(claims, "action")
	expires, _ := number(claims, "exp")
	return Claims{decisionID, kind, subject, action, expires}, nil
}

func (v Verifier) signed(token string) (map[string]json.RawMessage, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > most {
		return nil, Unproven{"malformed"}
	}
	var raw [3][]byte
	for i, part := range parts {
		data, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, Unproven{"malformed"}
		}
		raw[i] = data
	}
	header, err := table(raw[0])
	if err != nil {
		return nil, Unproven{"malformed"}
	}
	alg, _ := text(header, "alg")
	kind, _ := text(header, "typ")
	if _, critical := header["crit"]; alg != "EdDSA" || kind != typ || critical {
		return nil, Unproven{"wrong-type"}
	}
	kid, _ := text(header, "kid")
	key, err := v.Keys.Key(kid)
	if err != nil {
		return nil, err
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, Unproven{"unknown-key"}
	}
	if !ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), raw[2]) {
		return nil, Unproven{"bad-signature"}
	}
	claims, err := table(raw[1])
	if err != nil {
		return nil, Unproven{"malformed"}
	}
	return claims, nil
}

func (v Verifier) timely(claims map[string]json.RawMessage) error {
	issued, first := number(claims, "iat")
	expires, second := number(claims, "exp")
	if !first || !second {
		return Unproven{"malformed"}
	}
	clock := time.Now
	if v.Now != nil {
		clock = v.Now
	}
	now := clock().Unix()
	if now >= expires+leeway || now < issued-leeway || expires <= issued || expires-issued > longest {
		return Unproven{"expired"}
	}
	return nil
}

// table reads one JSON object, with names as they are spelt and none of them twice; encoding/json alone does neither.
func table(data []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	found := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		key, _ := name.(string)
		if _, twice := found[key]; twice {
			return nil, errors.New("a member is there twice")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		found[key] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data[decoder.InputOffset():])) != 0 {
		return nil, errors.New("something stands behind the object")
	}
	return found, nil
}

func text(table map[string]json.RawMessage, name string) (string, bool) {
	var found *string
	if json.Unmarshal(table[name], &found) != nil || found == nil {
		return "", false
	}
	return *found, true
}

func number(table map[string]json.RawMessage, name string) (int64, bool) {
	var found *int64
	if json.Unmarshal(table[name], &found) != nil || found == nil {
		return 0, false
	}
	return *found, true
}

// ParseKeys gives the Ed25519 keys of a JWKS by name, and passes over others.
func ParseKeys(document []byte) (map[string]ed25519.PublicKey, error) {
	var set struct {
		Keys []struct{ Kty, Crv, Use, Alg, Kid, X string }
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, err
	}
	found := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		if key.Kty != "OKP" || key.Crv != "Ed25519" || key.Kid == "" ||
			(key.Use != "" && key.Use != "sig") || (key.Alg != "" && key.Alg != "EdDSA") {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if _, twice := found[key.Kid]; err != nil || len(x) != ed25519.PublicKeySize || twice {
			return nil, fmt.Errorf("muster: the key %q is malformed, or there twice", key.Kid)
		}
		found[key.Kid] = x
	}
	if len(found) == 0 {
		return nil, errors.New("muster: there is no Ed25519 key")
	}
	return found, nil
}

type contextKey struct{}

// Of gives what was decided about a request that Handler has let in.
func Of(ctx context.Context) (Claims, bool) {
	claims, ok := ctx.Value(contextKey{}).(Claims)
	return claims, ok
}
