// Package diff compares texts line by line.
package diff

import (
	"fmt"
	"strings"
)

const maxLines = 6000

// Unified returns a unified diff with three lines of context, empty if the texts are equal.
func Unified(oldName, newName, a, b string) string {
	if a == b {
		return ""
	}
	x, y := lines(a), lines(b)
	ops := script(x, y)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", oldName, newName)
	const context = 3
	for i := 0; i < len(ops); {
		if ops[i].kind == ' ' {
			i++
			continue
		}
		start := max(0, i-context)
		end, quiet := i, 0
		for end < len(ops) && quiet <= 2*context {
			if ops[end].kind == ' ' {
				quiet++
			} else {
				quiet = 0
			}
			end++
		}
		end -= max(0, quiet-context)
		hunk(&out, ops[start:end])
		i = end
	}
	return out.String()
}

type op struct {
	kind byte
	text string
	a, b int
}

func hunk(out *strings.Builder, ops []op) {
	na, nb := 0, 0
	for _, o := range ops {
		if o.kind != '+' {
			na++
		}
		if o.kind != '-' {
			nb++
		}
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", ops[0].a+1, na, ops[0].b+1, nb)
	for _, o := range ops {
		out.WriteByte(o.kind)
		out.WriteString(o.text + "\n")
	}
}

func lines(s string) []string {
	l := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return l[:min(len(l), maxLines)]
}

// script finds a shortest edit script after cutting equal ends; very large middles are replaced whole.
func script(x, y []string) []op {
	p := 0
	for p < len(x) && p < len(y) && x[p] == y[p] {
		p++
	}
	q := 0
	for q < len(x)-p && q < len(y)-p && x[len(x)-1-q] == y[len(y)-1-q] {
		q++
	}
	mx, my := x[p:len(x)-q], y[p:len(y)-q]
	var ops []op
	for i := range p {
		ops = append(ops, op{' ', x[i], i, i})
	}
	if len(mx)*len(my) > 4_000_000 {
		for i, t := range mx {
			ops = append(ops, op{'-', t, p + i, p})
		}
		for j, t := range my {
			ops = append(ops, op{'+', t, p + len(mx), p + j})
		}
	} else {
		ops = append(ops, middle(mx, my, p)...)
	}
	for i := range q {
		ops = append(ops, op{' ', x[len(x)-q+i], len(x) - q + i, len(y) - q + i})
	}
	return ops
}

func middle(x, y []string, at int) []op {
	n, m := len(x), len(y)
	table := make([][]int32, n+1)
	for i := range table {
		table[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if x[i] == y[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	var ops []op
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && x[i] == y[j]:
			ops = append(ops, op{' ', x[i], at + i, at + j})
			i, j = i+1, j+1
		case i < n && (j == m || table[i+1][j] >= table[i][j+1]):
			ops = append(ops, op{'-', x[i], at + i, at + j})
			i++
		default:
			ops = append(ops, op{'+', y[j], at + i, at + j})
			j++
		}
	}
	return ops
}
