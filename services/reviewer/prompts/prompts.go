// Package prompts holds what a model is asked: one template a part, one function a
// prompt. All prompts of a review begin with the same parts, so that providers can
// reuse what they have read.
package prompts

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/template"

	"nullius.dev/kit/store"
	"nullius.dev/services/reviewer/forms"
)

//go:embed *.tmpl
var files embed.FS

// Version names this set of prompts.
const Version = "reviewer/1"

// Digest names the prompts' bytes.
func Digest() store.Digest {
	var all bytes.Buffer
	names, _ := fs.Glob(files, "*.tmpl") // the pattern is constant and well formed
	for _, n := range names {
		b, _ := files.ReadFile(n) // embedded files can be read
		fmt.Fprintf(&all, "%s %d\n%s", n, len(b), b)
	}
	return store.DigestOf(all.Bytes())
}

// Fence is a pair of lines around foreign text that the text cannot close.
type Fence struct{ Open, Close string }

// FenceOf derives a fence from the text, so that a repeat asks the same.
func FenceOf(label, text string) Fence {
	for n := 0; ; n++ {
		mark := store.DigestOf([]byte(label + "\n" + strconv.Itoa(n) + "\n" + text)).Hex()[:24]
		if !strings.Contains(text, mark) {
			return Fence{Open: "<<<" + label + " " + mark, Close: label + " " + mark + ">>>"}
		}
	}
}

// Fenced is a text between its marks.
type Fenced struct {
	Fence
	Text string
}

// Enclose fences a text.
func Enclose(label, text string) Fenced { return Fenced{Fence: FenceOf(label, text), Text: text} }

// System says who the model is.
func System() (string, error) { return render("system.tmpl", nil) }

// Form explains the form.
func Form(f *forms.Form) (string, error) {
	return render("form.tmpl", struct{ Form *forms.Form }{f})
}

// Example shows a paper and its review.
func Example(number int, paper, review string) (string, error) {
	return render("example.tmpl", struct {
		Fence
		Number        int
		Paper, Review string
	}{FenceOf("EXAMPLE", paper), number, paper, review})
}

// Paper shows the paper.
func Paper(text, quality string) (string, error) {
	return render("paper.tmpl", struct {
		Fenced
		Quality string
	}{Enclose("PAPER", text), quality})
}

// Review asks for a review.
func Review(f *forms.Form) (string, error) {
	return render("review.tmpl", struct{ Form *forms.Form }{f})
}

// Merge asks a chair to write one review out of several.
func Merge(f *forms.Form, reviews []string) (string, error) {
	fenced := make([]Fenced, len(reviews))
	for i, r := range reviews {
		fenced[i] = Enclose("REVIEW "+strconv.Itoa(i+1), r)
	}
	return render("merge.tmpl", struct {
		Form    *forms.Form
		Count   int
		Reviews []Fenced
	}{f, len(reviews), fenced})
}

// Reflect asks a chair to look at the merged review once more.
func Reflect(f *forms.Form, review string, lost []string, round, rounds int) (string, error) {
	return render("reflect.tmpl", struct {
		Fence
		Form          *forms.Form
		Review        string
		Lost          []string
		Round, Rounds int
	}{FenceOf("REVIEW", review), f, review, lost, round, rounds})
}

// render fills a template; a placeholder without a value is an error.
func render(name string, data any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"ints": ints, "join": func(s []string) string { return strings.Join(s, ", ") },
		"keys":     func(f *forms.Form) string { return names(f.Items) },
		"textKeys": func(f *forms.Form) string { return names(f.Of(forms.Text, forms.List)) },
	}).ParseFS(files, name)
	if err != nil {
		return "", fmt.Errorf("prompt %s: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("prompt %s: %w", name, err)
	}
	return strings.TrimSpace(b.String()) + "\n", nil
}

func ints(v []int) string {
	s := make([]string, len(v))
	for i, n := range v {
		s[i] = strconv.Itoa(n)
	}
	return strings.Join(s, ", ")
}

func names(items []forms.Item) string {
	s := make([]string, len(items))
	for i, it := range items {
		b, _ := json.Marshal(it.Name) // a string always encodes
		s[i] = string(b)
	}
	return strings.Join(s, ", ")
}
