package template

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// jsonKind is the type of a JSON value, named as a user would say it.
type jsonKind string

const (
	kindObject jsonKind = "an object"
	kindList   jsonKind = "a list"
	kindString jsonKind = "a string"
	kindNumber jsonKind = "a number"
	kindBool   jsonKind = "true or false"
	kindNull   jsonKind = "null"
)

// jsonNode is a value with its place, which encoding/json does not tell.
type jsonNode struct {
	kind    jsonKind
	offset  int
	end     int     // after its last byte
	text    string  // of a string
	number  float64 // may be NaN or infinite where that is allowed
	members []jsonMember
	items   []*jsonNode
}

type jsonMember struct {
	name   string
	offset int
	value  *jsonNode
}

// get returns a member's value, or nil.
func (n *jsonNode) get(name string) *jsonNode {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// jsonError says where parsing stopped.
type jsonError struct {
	offset          int
	found, expected string
}

// jsonLimits bounds what is parsed; Python's writer emits NaN and Infinity.
type jsonLimits struct {
	depth, values int
	nonFinite     bool
}

type jsonParser struct {
	data   []byte
	at     int
	limits jsonLimits
	values int
}

// parseJSON reads one strict JSON document; duplicate keys are errors.
func parseJSON(data []byte, limits jsonLimits) (*jsonNode, *jsonError) {
	p := &jsonParser{data: data, limits: limits}
	if bytes.HasPrefix(data, byteOrderMark) {
		return nil, &jsonError{0, "a byte order mark", "UTF-8 without it: Python's json does not read it"}
	}
	node, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(data) {
		return nil, p.unexpected("the end of the file")
	}
	return node, nil
}

func (p *jsonParser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

func (p *jsonParser) unexpected(expected string) *jsonError {
	if p.at >= len(p.data) {
		return &jsonError{offset: len(p.data), found: "the end of the file", expected: expected}
	}
	r, _ := utf8.DecodeRune(p.data[p.at:])
	if r == '/' || r == '#' {
		expected += " (JSON has no comments)"
	}
	return &jsonError{offset: p.at, found: quote(string(r)), expected: expected}
}

func (p *jsonParser) value(depth int) (*jsonNode, *jsonError) {
	node, err := p.bare(depth)
	if err == nil {
		node.end = p.at
	}
	return node, err
}

// bare reads a value without noting its end.
func (p *jsonParser) bare(depth int) (*jsonNode, *jsonError) {
	p.space()
	p.values++
	if depth > p.limits.depth {
		return nil, &jsonError{p.at, "nesting deeper than " + strconv.Itoa(p.limits.depth), "flatter JSON"}
	}
	if p.values > p.limits.values {
		return nil, &jsonError{p.at, "more than " + strconv.Itoa(p.limits.values) + " values", "fewer values"}
	}
	if p.at >= len(p.data) {
		return nil, p.unexpected("a JSON value")
	}
	node := &jsonNode{offset: p.at}
	switch c := p.data[p.at]; {
	case c == '{':
		return node, p.object(node, depth)
	case c == '[':
		return node, p.list(node, depth)
	case c == '"':
		node.kind = kindString
		text, err := p.str()
		node.text = text
		return node, err
	case c == '-' || c >= '0' && c <= '9' || c == 'N' || c == 'I':
		node.kind = kindNumber
		return node, p.num(node)
	}
	for word, kind := range map[string]jsonKind{"true": kindBool, "false": kindBool, "null": kindNull} {
		if p.word(word) {
			node.kind, node.text = kind, word
			return node, nil
		}
	}
	return nil, p.unexpected("a JSON value")
}

func (p *jsonParser) word(w string) bool {
	if len(p.data)-p.at < len(w) || string(p.data[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *jsonParser) object(node *jsonNode, depth int) *jsonError {
	node.kind = kindObject
	p.at++
	seen := map[string]bool{}
	for first := true; ; first = false {
		p.space()
		if first && p.word("}") {
			return nil
		}
		if p.at >= len(p.data) || p.data[p.at] != '"' {
			return p.unexpected("a key in double quotes")
		}
		member := jsonMember{offset: p.at}
		name, err := p.str()
		if err != nil {
			return err
		}
		if seen[name] {
			return &jsonError{member.offset, "the key " + quote(name) + " twice", "each key once"}
		}
		seen[name] = true
		p.space()
		if !p.word(":") {
			return p.unexpected("a colon after the key")
		}
		if member.value, err = p.value(depth + 1); err != nil {
			return err
		}
		member.name = name
		node.members = append(node.members, member)
		p.space()
		if p.word("}") {
			return nil
		}
		if !p.word(",") {
			return p.unexpected("a comma or }")
		}
	}
}

func (p *jsonParser) list(node *jsonNode, depth int) *jsonError {
	node.kind = kindList
	p.at++
	for first := true; ; first = false {
		p.space()
		if first && p.word("]") {
			return nil
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		node.items = append(node.items, item)
		p.space()
		if p.word("]") {
			return nil
		}
		if !p.word(",") {
			return p.unexpected("a comma or ]")
		}
	}
}

// str reads a string; encoding/json undoes the escapes.
func (p *jsonParser) str() (string, *jsonError) {
	start := p.at
	for p.at++; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '\\':
			p.at++
		case c < 0x20:
			return "", &jsonError{p.at, "a line break or control character inside a string", `\n or another escape`}
		case c == '"':
			p.at++
			var text string
			if err := json.Unmarshal(p.data[start:p.at], &text); err != nil {
				return "", &jsonError{start, "a string with a broken escape", `escapes such as \n, \" and \\`}
			}
			return text, nil
		}
	}
	return "", &jsonError{start, "a string that never ends", `a closing "`}
}

func (p *jsonParser) num(node *jsonNode) *jsonError {
	for word, value := range map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)} {
		if at := p.at; p.word(word) {
			if !p.limits.nonFinite {
				return &jsonError{at, word, "a number that JSON knows"}
			}
			node.number = value
			return nil
		}
	}
	start := p.at
	for p.at < len(p.data) && isNumberByte(p.data[p.at]) {
		p.at++
	}
	text := p.data[start:p.at]
	if !json.Valid(text) {
		p.at = start
		return &jsonError{start, quote(string(text)), "a number"}
	}
	// Out of range gives an infinity, which is what the text means to a reader.
	node.number, _ = strconv.ParseFloat(string(text), 64)
	return nil
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E'
}
