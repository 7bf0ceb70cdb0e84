package llm

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"nullius.dev/kit/fault"
)

// credential is what a provider knows a caller by.
type credential struct {
	id      string                                     // tells accounts apart: the key, or the name of what signs
	project string                                     // of Google's cloud
	sign    func(req *http.Request, body []byte) error // the last change before a request is sent; nil: nothing
}

func (c credential) apply(req *http.Request, body []byte) error {
	if c.sign == nil {
		return nil
	}
	return c.sign(req, body)
}

// inHeader is a key that goes into a header as it is.
func inHeader(name, key string) credential {
	if key == "" {
		return credential{}
	}
	value := key
	if name == "" {
		name, value = "Authorization", "Bearer "+key
	}
	return credential{id: key, sign: func(req *http.Request, _ []byte) error {
		req.Header.Set(name, value)
		return nil
	}}
}

// credential is what a model's provider wants; it does no I/O beyond this machine.
func (k *keyring) credential(m Model) (credential, error) {
	if missing := m.missing; missing != "" {
		return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s needs %s; %s has none", m.Name, missing, k.who).
			WithMeta("model", m.Name).WithNext("nullius doctor")
	}
	switch {
	case m.local.API == apiBedrock:
		return k.aws(m)
	case m.local.API == apiVertex:
		return k.google(m)
	}
	header := m.local.Header
	if header == "" && m.local.API == apiAnthropic {
		header = "X-Api-Key"
	}
	if m.Provider == compatible {
		key, err := k.compatible(m)
		return inHeader(header, key), err
	}
	name := m.local.Key
	if name == "" {
		return credential{}, nil
	}
	if key := k.read(name); key != "" {
		if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) { // no header could take it
			return credential{}, fault.New(fault.Unauthenticated, "KEY_REFUSED", "%s: what %s holds is no key: it has a space, a line break or a character beyond ASCII in it", m.Name, k.from(name)).
				WithMeta("model", m.Name).WithMeta("variable", name).WithNext("nullius doctor")
		}
		return inHeader(header, key), nil
	}
	if k.env(name+"_FILE") != "" {
		return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s: the file that %s_FILE names %s", m.Name, name, k.unusable(name)).
			WithMeta("model", m.Name).WithMeta("variable", name).WithNext("nullius doctor")
	}
	return credential{}, fault.New(fault.Unauthenticated, "KEY_MISSING", "%s needs %s or %s_FILE; %s has neither", m.Name, name, name, k.who).
		WithMeta("model", m.Name).WithMeta("variable", name).WithNext("nullius doctor")
}

// compatible gives the operator's key to the hosts that the operator listed: the address is the user's.
func (k *keyring) compatible(m Model) (string, error) {
	u, err := url.Parse(m.BaseURL)
	listed := err == nil && (slices.Contains(k.hosts, u.Host) || slices.Contains(k.hosts, u.Hostname()))
	if !listed && k.only {
		return "", fault.New(fault.Denied, "FIELD_INVALID", "the host of %s is not among compatible_hosts of this server", clip(m.BaseURL, 80)).
			WithField("model", "host not allowed").WithNext("nullius doctor")
	}
	if !listed {
		return "", nil
	}
	return k.read(m.local.Key), nil
}

// Key is where a provider's credential was found. It never holds the credential.
type Key struct {
	From    string // variable, file's variable, profile or "none is needed"; empty: nothing was found
	Missing string // what is needed when nothing was found
	Broken  bool   // a file is named and cannot be used
}

// KeyOf says where the credential of a model's provider comes from, without asking the provider.
func (d *Door) KeyOf(m Model) Key {
	k := d.keys
	switch {
	case m.Recording:
		return Key{From: "none is needed"}
	case m.missing != "":
		return Key{Missing: m.missing}
	case m.local.API == apiBedrock:
		return k.awsFrom()
	case m.local.API == apiVertex:
		return k.googleFrom()
	case m.local.Key == "":
		return Key{From: "none is needed"}
	}
	if from := k.from(m.local.Key); from != "" {
		return Key{From: from}
	}
	if m.Provider == compatible {
		return Key{From: "none; the server may need none"}
	}
	if k.env(m.local.Key+"_FILE") != "" {
		return Key{Missing: "the file that " + m.local.Key + "_FILE names", Broken: true}
	}
	return Key{Missing: m.local.Key}
}

// from names the variable that holds a key, or its file.
func (k *keyring) from(name string) string {
	switch {
	case strings.TrimSpace(k.env(name)) != "":
		return name
	case k.env(name+"_FILE") != "" && k.read(name) != "":
		return name + "_FILE"
	}
	return ""
}

// unusable is why a key's file cannot be used, without its path.
func (k *keyring) unusable(name string) string {
	data, err := os.ReadFile(k.env(name + "_FILE"))
	switch {
	case err != nil:
		return "cannot be read: " + reasonOf(err)
	case len(bytes.TrimSpace(data)) == 0:
		return "is empty"
	}
	return "is no key: it is too long"
}

// credentialFault says that a credential could not be had.
func (k *keyring) credentialFault(m Model, source string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &credentialError{fault.New(fault.Unauthenticated, "KEY_REFUSED", "%s gave no credentials from %s: %s", m.Title, source, k.scrub(err.Error())).
		WithMeta("model", m.Name).WithNext("nullius models test " + m.Name)}
}

// credentialError wraps a fault so that a failed try is told from a failed credential.
type credentialError struct{ fault error }

func (e *credentialError) Error() string { return e.fault.Error() }
func (e *credentialError) Unwrap() error { return e.fault }

// readable reports whether a file is there.
func readable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// reasonOf is why a file could not be used, without its path.
func reasonOf(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return "it holds no credentials"
}
