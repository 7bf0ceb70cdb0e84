package llm

import (
	"net/url"
	"regexp"
	"slices"
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
	m := t.lookup(provider + "/" + model)
	m.Provider, m.wire, m.local = provider, model, p
	m.Title, m.KeyVar = p.Title, p.Key
	if m.Title == "" {
		m.Title = provider
	}
	m.address(env)
	if m.missing != "" {
		return m, nil // said when it is used: the name is right
	}
	return m, checkURL(asked, m.BaseURL)
}

// regionOf gives a cloud's region by its variables, in the order in which its own tools look.
func regionOf(api string, env func(string) string) string {
	names, region := []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_REGION_NAME"}, "us-east-1"
	if api == apiVertex {
		names, region = []string{"CLOUD_ML_REGION", "VERTEXAI_LOCATION", "GOOGLE_CLOUD_LOCATION"}, "global"
	}
	for _, name := range names {
		if v := env(name); regionName.MatchString(v) {
			return v
		}
	}
	return region
}

var regionName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// vertexHosts are of the regions that are not named after their host.
// https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
var vertexHosts = map[string]string{
	"global": "https://aiplatform.googleapis.com", "us": "https://aiplatform.us.rep.googleapis.com", "eu": "https://aiplatform.eu.rep.googleapis.com",
}

// address fills in where a model's provider is.
func (m *Model) address(env func(string) string) {
	p := m.local
	base := p.BaseURL
	if v := env(p.BaseURLEnv); p.BaseURLEnv != "" && v != "" {
		base = v
	}
	switch p.API {
	case apiBedrock, apiVertex:
		m.region = regionOf(p.API, env)
		if host := vertexHosts[m.region]; host != "" && strings.Contains(base, "{region}") && p.API == apiVertex {
			base = host
		}
		base = strings.ReplaceAll(base, "{region}", m.region)
	}
	if strings.HasPrefix(base, "$") {
		name, rest, _ := strings.Cut(base[1:], "/")
		if strings.TrimSpace(env(name)) == "" {
			m.missing = name
		}
		base = strings.TrimRight(strings.TrimSpace(env(name)), "/") + "/" + rest
	}
	m.BaseURL = strings.TrimRight(base, "/")
	switch m.Provider {
	case "ollama":
		m.ollama(env("OLLAMA_HOST"))
	case "azure":
		m.azure(env)
	}
	if p.API == apiAnthropic || p.API == apiVertex {
		m.BaseURL = strings.TrimSuffix(m.BaseURL, "/v1")
	}
}

// ollama takes the address as Ollama's own client does, with or without a scheme.
func (m *Model) ollama(host string) {
	if host == "" {
		return
	}
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	m.BaseURL = strings.TrimSuffix(strings.TrimRight(host, "/"), "/v1") + "/v1"
}

// azure takes a resource's address in the forms that Azure shows. With a version of the API it is the older one, which names
// the deployment in the path.
// https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
func (m *Model) azure(env func(string) string) {
	u, err := url.Parse(m.BaseURL)
	if err != nil {
		return
	}
	u.RawQuery = "" // of an address that was copied from the portal
	if i := strings.Index(u.Path, "/openai"); i >= 0 {
		u.Path = u.Path[:i]
	}
	resource := strings.TrimRight(u.String(), "/") + "/openai"
	m.BaseURL = resource + "/v1"
	for _, name := range []string{"AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"} {
		if v := env(name); v != "" && v != "v1" && v != "preview" && m.local.Header != "" {
			m.BaseURL, m.query = resource+"/deployments/"+url.PathEscape(m.wire), "api-version="+url.QueryEscape(v)
			return
		}
	}
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
	m.local = providerLine{API: apiOpenAI, Key: "OPENAI_COMPATIBLE_API_KEY"}
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
		WithMeta("model", clip(name, 120)).WithNext("nullius models")
}

// nearest names the known name that looks most like a wrong one.
func (t table) nearest(name string) string {
	var names []string
	for k := range t.Aliases {
		names = append(names, k)
	}
	for k := range t.Providers {
		names = append(names, k+"/MODEL")
	}
	for _, l := range t.Models {
		if !strings.Contains(l.Match, "*") {
			names = append(names, l.Match)
		}
	}
	names = append(names, compatible+"/NAME@URL", "openai/gpt-4o", "openai/gpt-4.1", "openai/o3-mini", "deepseek/deepseek-chat",
		"gemini/gemini-2.0-flash", "gpt-4o", "claude-opus-5")
	sort.Strings(names)
	word := strings.ToLower(clip(name, 80))
	if len(word) > 2 && !strings.Contains(word, "/") && slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, word) }) {
		return "want a whole name; nullius models " + word + " lists those that have it"
	}
	best, score := "", -1
	for _, n := range names {
		d := distance(word, n)
		if score < 0 || d < score {
			best, score = n, d
		}
	}
	if score > 1+len(name)/2 { // nothing looks like it
		if provider, _, ok := strings.Cut(name, "/"); ok && provider != "" {
			return "no provider is called " + clip(provider, 40) + "; nullius models lists them, and NULLIUS_MODELS_FILE can add one"
		}
		return "want provider/model, as nullius models lists them"
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
