package recording

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/store"
)

// Options say what goes into an export.
type Options struct {
	Template string
	// Pick chooses among entries of one idea, step and call (two requests under one name): the one that the ended step used.
	// nil: the last one written.
	Pick func([]ledger.Entry) ledger.Entry
}

// Export turns the DONE entries of a ledger into a recording's files: no requests, no keys, no times.
func Export(ctx context.Context, blobs store.Blobs, entries []ledger.Entry, o Options) (map[string][]byte, error) {
	groups := map[name][]ledger.Entry{}
	for _, e := range entries {
		if e.State != ledger.Done {
			continue
		}
		n := name{e.Origin.Idea(), e.Origin.Step, e.Origin.Call, e.Kind()}
		groups[n] = append(groups[n], e)
	}
	files := map[string][]byte{}
	var lines []Line
	for n, g := range groups {
		e := pick(g, o.Pick)
		text, err := store.GetBytes(ctx, blobs, e.Reply, maxReply)
		if err != nil {
			return nil, err
		}
		l := Line{Idea: n.idea, Step: n.step, Call: n.call, Kind: n.kind, Digest: e.Digest, Finish: e.Finish, Usage: e.Usage}
		if n.kind == "model" {
			l.Model = e.Model
			if e.FromRecord && e.Served != "" {
				l.Model = e.Served // a replay of a replay keeps the model's name
			}
			if cost := e.Cost + e.WouldCost; cost > 0 {
				l.CostUSD = dollars(cost)
			}
		}
		l.File = fileOf(l)
		files[l.File] = text
		lines = append(lines, l)
	}
	index, err := encode(Header{Recording: 1, Template: o.Template}, lines)
	if err != nil {
		return nil, err
	}
	files[IndexFile] = index
	return files, nil
}

func pick(g []ledger.Entry, choose func([]ledger.Entry) ledger.Entry) ledger.Entry {
	if len(g) == 1 || choose == nil {
		sort.Slice(g, func(i, j int) bool {
			if g[i].Beat != g[j].Beat {
				return g[i].Beat < g[j].Beat
			}
			return g[i].Key < g[j].Key
		})
		return g[len(g)-1]
	}
	return choose(g)
}

func encode(h Header, lines []Line) ([]byte, error) {
	sortLines(lines)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(h); err != nil {
		return nil, err
	}
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func dollars(pico int64) string {
	s := fmt.Sprintf("%d.%012d", pico/1_000_000_000_000, pico%1_000_000_000_000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Redigest writes the digests of a replay into an index, and nothing else: what a changed prompt needs.
func Redigest(index []byte, entries []ledger.Entry) ([]byte, error) {
	h, lines, err := ParseIndex(index)
	if err != nil {
		return nil, err
	}
	digests := map[name]string{}
	for _, e := range entries {
		if e.State != ledger.Done {
			continue
		}
		digests[name{e.Origin.Idea(), e.Origin.Step, e.Origin.Call, e.Kind()}] = e.Digest
	}
	for i, l := range lines {
		if d, ok := digests[l.name()]; ok {
			lines[i].Digest = d
		}
	}
	return encode(h, lines)
}

var number = regexp.MustCompile(`\d+(?:\.\d+)?`)

// Typed lists the numbers of three digits or more in a reply that equal a measurement: such a reply would not hold on
// another machine.
func Typed(reply []byte, measured map[string]bool) []string {
	var out []string
	for _, n := range number.FindAllString(string(reply), -1) {
		if len(strings.ReplaceAll(n, ".", "")) >= 3 && measured[n] {
			out = append(out, n)
		}
	}
	return out
}
