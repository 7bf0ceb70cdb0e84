package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// keyring reads keys from the environment or from files, and hides every key it has ever read.
type keyring struct {
	env   func(string) string
	hosts []string
	only  bool
	who   string
	base  http.RoundTripper // that Google's tokens are asked for on

	mu     sync.Mutex
	files  map[string]string // path: content as last read
	seen   map[string]bool
	chain  *awsChain
	tokens map[string]oauth2.TokenSource // by the credentials' file
	ahead  time.Duration                 // AWS's clock, of this machine's
}

func newKeyring(cfg Config, env func(string) string, base http.RoundTripper) *keyring {
	who := "this process"
	if cfg.Component != "" {
		who = "the " + cfg.Component
	}
	return &keyring{env: env, hosts: cfg.CompatibleHosts, only: cfg.OnlyListedHosts, who: who, base: base,
		files: map[string]string{}, seen: map[string]bool{}, tokens: map[string]oauth2.TokenSource{}}
}

func (k *keyring) read(name string) string {
	key := strings.TrimSpace(k.env(name))
	if key == "" {
		if path := k.env(name + "_FILE"); path != "" {
			key = k.file(path, false)
		}
	}
	k.remember(key)
	return key
}

func (k *keyring) file(path string, again bool) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.files[path]; ok && !again {
		return s
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) > 64<<10 {
		return ""
	}
	k.files[path] = strings.TrimSpace(string(data))
	return k.files[path]
}

// reread looks for another credential after a provider refused the last one, and reports whether there may be one: a key's
// file that changed, a token or role that is asked for anew.
func (k *keyring) reread(m Model) bool {
	switch m.local.API {
	case apiVertex:
		k.mu.Lock()
		defer k.mu.Unlock()
		some := len(k.tokens) > 0
		clear(k.tokens)
		return some
	case apiBedrock:
		k.mu.Lock()
		some := k.chain != nil
		k.chain = nil
		k.mu.Unlock()
		for _, name := range []string{awsToken, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
			some = k.changed(name) || some // each file is read
		}
		return some
	}
	return k.changed(m.local.Key)
}

// changed reads a key's file again.
func (k *keyring) changed(name string) bool {
	path := k.env(name + "_FILE")
	if name == "" || k.env(name) != "" || path == "" {
		return false
	}
	old := k.file(path, false)
	return k.file(path, true) != old
}

func (k *keyring) remember(key string) {
	if len(key) < 6 {
		return // too short to tell from other text
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen[key] = true
}

// hide replaces every key that was read.
func (k *keyring) hide(s string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.seen {
		s = strings.ReplaceAll(s, key, "***")
	}
	return s
}

// keyLike is what keys look like: bearer tokens, OpenAI's and others' with a dash, Google's, AWS's access keys and Bedrock's, JSON Web Tokens.
var keyLike = regexp.MustCompile(`(?i)(bearer\s+\S{8,}|\b(sk|pk|rk|gsk|xai|or)-[a-z0-9_*.-]{8,}|AIza[\w-]{20,}|ya29\.[\w.-]{8,}|\b(AKIA|ASIA)[0-9A-Z]{12,}|\bABSK[\w+/=-]{16,}|\beyJ[\w-]{8,}\.[\w-]{8,}[\w.-]*)`)

// scrub makes a provider's text fit to be shown: one line of at most 200 characters without anything like a key.
func (k *keyring) scrub(s string) string {
	s = keyLike.ReplaceAllString(k.hide(s), "***")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' }), " ")
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}

// accountOf names a provider and key without telling the key.
func accountOf(m Model, c credential) string {
	sum := sha256.Sum256([]byte(c.id))
	u, err := url.Parse(m.BaseURL)
	if err != nil {
		return m.Provider
	}
	return m.Provider + " " + u.Host + " " + hex.EncodeToString(sum[:4])
}
