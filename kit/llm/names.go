package llm

import (
	"net/url"
	"regexp"
	"sort"
	"strings"

	"nullius.dev/kit/fault"
)

const compatible = "openai-compatible"

// plain names by their beginning; the provider's name goes in front
var plainNames = []struct {
	begin    *regexp.Regexp
	provider string
}{
	{regexp.MustCompile(`^claude-`), "anthropic"},
	{regexp.MustCompile(`^(gpt-|o\d|chatgpt-)`), "openai"},
	{regexp.MustCompile(`^deepseek-`), "deepseek"},
	{regexp.MustCompile(`^gemini-`), "gemini"},
}

var (
	recordingName = regexp.MustCompile(`^recording/[0-9a-f]{64}$`)
	modelName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$`)
)

// resolve turns any name into provider/model and what is known of it.
func (t table) resolve(name string, env func(string) string) (Model, error) {
	asked := name
	if to, ok := t.Aliases[name]; ok {
		name = to
	}
	if strings.HasPrefix(name, "recording/") {
		if !recordingName.MatchString(name) {
			return Model{}, unknown(asked, "a recording is named recording/ and the 64 hex digits of its snapshot")
		}
		return Model{Name: name, Provider: "recording", Recording: true, Known: true, Context: 1 << 40, MaxOutput: 1 << 40,
			Supports: map[string]bool{"temperature": true, "system": true, "stop": true, "schema": true, "images": true,
				"seed": true, "effort": true, "prefill": true}}, nil
	}
	if strings.HasPrefix(name, compatible+"/") {
		return t.compatible(asked, name)
	}
	provider, model, ok := strings.Cut(name, "/")
	if !ok {
		return t.plain(asked, name, env)
	}
	if provider == "vertex_ai" {
		provider = "vertex"
	}
	p, known := t.Providers[provider]
	if !known || model == "" || !modelName.MatchString(model) {
		return Model{}, unknown(asked, t.nearest(asked))
	}
	if p.API == "none" {
		return Model{}, notHere(asked, provider, model)
	}
	m := t.lookup(provider + "/" + model)
	m.Provider, m.wire, m.local = provider, model, p
	m.Title, m.KeyVar = p.Title, p.Key
	if m.Title == "" {
		m.Title = provider
	}
	m.BaseURL = baseURL(provider, p.BaseURL, env)
	return m, checkURL(asked, m.BaseURL)
}

// baseURL fills the environment's part into a provider's address.
func baseURL(provider, base string, env func(string) string) string {
	if host := env("OLLAMA_HOST"); provider == "ollama" && host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		base = strings.TrimRight(host, "/") + "/v1"
	}
	if strings.HasPrefix(base, "$") {
		name, rest, _ := strings.Cut(base[1:], "/")
		base = strings.TrimRight(env(name), "/") + "/" + rest
	}
	return strings.TrimRight(base, "/")
}

func checkURL(asked, base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return unknown(asked, "the address of its provider is not an http or https URL without user, query and fragment")
	}
	return nil
}

func (t table) compatible(asked, name string) (Model, error) {
	rest := strings.TrimPrefix(name, compatible+"/")
	i := strings.LastIndex(rest, "@http")
	if i <= 0 || !modelName.MatchString(rest[:i]) {
		return Model{}, unknown(asked, "want openai-compatible/NAME@URL")
	}
	base := strings.TrimRight(rest[i+1:], "/")
	if err := checkURL(asked, base); err != nil {
		return Model{}, err
	}
	u, _ := url.Parse(base)
	m := t.lookup(compatible + "/" + rest[:i] + "@" + base)
	m.Provider, m.wire, m.BaseURL, m.Title = compatible, rest[:i], base, u.Host
	m.local = providerLine{API: "openai", Key: "OPENAI_COMPATIBLE_API_KEY"}
	return m, nil
}

func (t table) plain(asked, name string, env func(string) string) (Model, error) {
	if modelName.MatchString(name) {
		for _, p := range plainNames {
			if p.begin.MatchString(name) {
				return t.resolve(p.provider+"/"+name, env)
			}
		}
	}
	return Model{}, unknown(asked, t.nearest(asked))
}

func unknown(name, hint string) error {
	sep := ""
	if hint != "" {
		sep = ": "
	}
	return fault.New(fault.NotFound, "MODEL_UNKNOWN", "there is no model %q%s%s", clip(name, 120), sep, hint).
		WithMeta("model", clip(name, 120)).WithNext("nullius doctor")
}

func notHere(asked, provider, model string) error {
	instead := ""
	if strings.Contains(model, "claude") {
		instead = "; OpenRouter has Claude under openrouter/anthropic/…"
	}
	return fault.New(fault.NotFound, "MODEL_UNKNOWN",
		"%s belongs to %s, which this version cannot call: it speaks to OpenAI-compatible endpoints and recordings%s",
		clip(asked, 120), provider, instead).WithMeta("model", clip(asked, 120)).WithNext("nullius doctor")
}

// nearest names the known name that looks most like a wrong one.
func (t table) nearest(name string) string {
	var names []string
	for k := range t.Aliases {
		names = append(names, k)
	}
	for k, p := range t.Providers {
		if p.API != "none" {
			names = append(names, k+"/MODEL")
		}
	}
	names = append(names, compatible+"/NAME@URL", "openai/gpt-4o", "openai/gpt-4.1", "openai/o3-mini", "deepseek/deepseek-chat",
		"gemini/gemini-2.0-flash")
	sort.Strings(names)
	best, score := "", -1
	for _, n := range names {
		d := distance(strings.ToLower(clip(name, 80)), n)
		if score < 0 || d < score {
			best, score = n, d
		}
	}
	return "want provider/model; the nearest name is " + best
}

// distance is the number of single edits between two short strings.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
