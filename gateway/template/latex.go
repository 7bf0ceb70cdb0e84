package template

import (
	"bytes"
	"path"
	"regexp"
	"strings"
)

var (
	documentClass = regexp.MustCompile(`\\(documentclass|usepackage)\s*(\[[^\]]*\])?\s*\{([^}]*)\}`)
	venueStyle    = regexp.MustCompile(`(?i)^(iclr|icml|neurips|nips|aaai|ijcai|acl|emnlp|cvpr|iccv|eccv|colm|jmlr|tmlr|corl|aistats)[0-9_a-z-]*$`)
	// absentStyles are not in the small TeX set, with what serves instead.
	absentStyles = map[string]string{"lmodern": "times", "bbm": `\mathbb of amssymb`, "dsfont": `\mathbb of amssymb`,
		"bbold": `\mathbb of amssymb`, "soul": `\emph`, "ulem": `\emph`, "minted": "verbatim"}
)

// latex checks what the paper needs; without it the default article serves.
func (c *checker) latex() {
	const name = "latex/template.tex"
	if !c.has(name) {
		f := Finding{Rule: "latex.missing", Path: name, Found: "no such file", Expected: "an article with placeholders such as ABSTRACT HERE",
			Fix: "nothing: the default article is used"}
		if !c.reported(name) {
			c.warn(f)
		}
		return
	}
	data, ok := c.text(name)
	if !ok {
		return
	}
	c.t.HasLatex = true
	if len(strings.TrimSpace(string(data))) == 0 {
		c.warn(Finding{Rule: "latex.empty", Path: name, Line: 1, Found: "an empty file", Expected: "an article", Fix: "nothing: the default article is used"})
		c.t.HasLatex = false
		return
	}
	c.article(name, data)
	for _, m := range documentClass.FindAllSubmatchIndex(data, -1) {
		for _, style := range strings.Split(string(data[m[6]:m[7]]), ",") {
			c.style(name, data, m[0], strings.TrimSpace(style))
		}
	}
}

var (
	texComment = regexp.MustCompile(`(?m)(^|[^\\])%.*$`)
	texClass   = regexp.MustCompile(`\\documentclass\b`)
	texBegin   = regexp.MustCompile(`\\begin\s*\{document\}`)
	texTitle   = regexp.MustCompile(`\\title\b`)
	texSection = regexp.MustCompile(`\\section\b`)
	texInput   = regexp.MustCompile(`\\(input|include)\s*\{([^}]*)\}`)
)

// article checks for what the writer fills: it needs a class and a document, makes a title and sections where there are none, and puts no text into other files.
func (c *checker) article(name string, data []byte) {
	text := texComment.ReplaceAllFunc(data, func(m []byte) []byte { // offsets stay
		out := bytes.Repeat([]byte(" "), len(m))
		copy(out, m[:bytes.IndexByte(m, '%')])
		return out
	})
	f := Finding{Rule: "latex.document", Path: name, Line: 1, Expected: `\documentclass and \begin{document}`, Fix: "nothing: the default article is used"}
	switch {
	case !texClass.Match(text):
		f.Found = `no \documentclass`
		c.warn(f)
		return
	case !texBegin.Match(text):
		f.Found = `no \begin{document}`
		c.warn(f)
		return
	}
	f.Rule, f.Fix = "latex.frame", "nothing: the writer adds them"
	if !texTitle.Match(text) {
		f.Found, f.Expected = `no \title`, `\title{TITLE HERE}`
		c.warn(f)
	}
	if !texSection.Match(text) {
		f.Found, f.Expected = `no \section`, `sections with placeholders, such as \section{Results} and RESULTS HERE`
		c.warn(f)
	}
	for _, m := range texInput.FindAllSubmatchIndex(text, -1) {
		part := strings.TrimSpace(string(text[m[4]:m[5]]))
		if file := path.Join("latex", part); !c.has(file) && !c.has(file+".tex") {
			c.warn(at(Finding{Rule: "latex.input", Path: name, Found: quote(part) + ", which is not in latex/", Expected: "files that are there"}, data, m[0]))
		}
	}
}

func (c *checker) style(name string, data []byte, offset int, style string) {
	if c.has("latex/"+style+".sty") || c.has("latex/"+style+".cls") {
		return
	}
	substitute, absent := absentStyles[style]
	if !absent && !venueStyle.MatchString(style) {
		return
	}
	c.warn(at(Finding{Rule: "latex.style", Path: name, Found: quote(style) + ", which is neither in latex/ nor in the small TeX set",
		Expected: "styles that are there", Fix: substitute}, data, offset))
}
