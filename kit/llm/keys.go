package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nullius.dev/kit/fault"
)

// keyring reads keys from the environment or from files, and hides every key it has ever read.
type keyring struct {
	env   func(string) string
	hosts []string
	only  bool
	who   string

	mu    sync.Mutex
	files map[string]string // path: content as last read
	seen  map[string]bool
}

func newKeyring(cfg Config, env func(string) string) *keyring {
	who := "this process"
	if cfg.Component != "" {
		who = "the " + cfg.Component
	}
	return &keyring{env: env, hosts: cfg.CompatibleHosts, only: cfg.OnlyListedHosts, who: who,
		files: map[string]string{}, seen: map[string]bool{}}
}

// key is what a model's provider wants; empty if it wants none.
func (k *keyring) key(m Model) (string, error) {
	name := m.local.Key
	if m.Provider == compatible {
		u, err := url.Parse(m.BaseURL)
		listed := err == nil && (slices.Contains(k.hosts, u.Host) || slices.Contains(k.hosts, u.Hostname()))
		if !listed && k.only {
			return "", fault.New(fault.Denied, "FIELD_INVALID", "the host of %s is not among compatible_hosts of this server", clip(m.BaseURL, 80)).
				WithField("model", "host not allowed").WithNext("nullius doctor")
		}
		if !listed {
			return "", nil // the URL is the user's, the key the operator's
		}
		return k.read(name), nil
	}
	if name == "" {
		return "", nil
	}
	if key := k.read(name); key != "" {
		return key, nil
	}
	return "", fault.New(fault.Unauthenticated, "KEY_MISSING", "%s needs %s or %s_FILE; %s has neither", m.Name, name, name, k.who).
		WithMeta("model", m.Name).WithMeta("variable", name).WithNext("nullius doctor")
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

// reread looks at a key's file again after a provider refused the key, and reports whether it changed.
func (k *keyring) reread(m Model) bool {
	path := k.env(m.local.Key + "_FILE")
	if m.local.Key == "" || k.env(m.local.Key) != "" || path == "" {
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

var keyLike = regexp.MustCompile(`(?i)(bearer\s+\S{8,}|\b(sk|pk|rk|gsk|xai|or)-[a-z0-9_*.-]{8,}|AIza[\w-]{20,})`)

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
func accountOf(m Model, key string) string {
	sum := sha256.Sum256([]byte(key))
	u, err := url.Parse(m.BaseURL)
	if err != nil {
		return m.Provider
	}
	return m.Provider + " " + u.Host + " " + hex.EncodeToString(sum[:4])
}
