package edit

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// maxEdits bounds the work on two sequences that share little; past it the middle counts as replaced.
const maxEdits = 1500

// pair is a line that both sides have.
type pair struct{ a, b int }

// common gives a longest common subsequence, in order.
func common(a, b []string) []pair {
	ids := map[string]int{}
	intern := func(ls []string) []int {
		out := make([]int, len(ls))
		for i, l := range ls {
			id, ok := ids[l]
			if !ok {
				id = len(ids)
				ids[l] = id
			}
			out[i] = id
		}
		return out
	}
	return commonInts(intern(a), intern(b))
}

func commonInts(a, b []int) []pair {
	var head, tail []pair
	lo, hiA, hiB := 0, len(a), len(b)
	for lo < hiA && lo < hiB && a[lo] == b[lo] {
		head = append(head, pair{lo, lo})
		lo++
	}
	for hiA > lo && hiB > lo && a[hiA-1] == b[hiB-1] {
		hiA, hiB = hiA-1, hiB-1
		tail = append(tail, pair{hiA, hiB})
	}
	for _, p := range myers(a[lo:hiA], b[lo:hiB]) {
		head = append(head, pair{p.a + lo, p.b + lo})
	}
	for i := len(tail) - 1; i >= 0; i-- {
		head = append(head, tail[i])
	}
	return head
}

// myers is the greedy difference algorithm, kept to maxEdits.
func myers(a, b []int) []pair {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return nil
	}
	limit := min(n+m, maxEdits)
	v := make([]int, 2*limit+3)
	var trace [][]int
	off := limit + 1
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int(nil), v[off-d-1:off+d+2]...))
		for k := -d; k <= d; k += 2 {
			x := 0
			if k == -d || k != d && v[off+k-1] < v[off+k+1] {
				x = v[off+k+1]
			} else {
				x = v[off+k-1] + 1
			}
			y := x - k
			for x < n && y < m && a[x] == b[y] {
				x, y = x+1, y+1
			}
			v[off+k] = x
			if x >= n && y >= m {
				return walkBack(trace, n, m, d)
			}
		}
	}
	return nil
}

// walkBack follows the trace of myers from the end; row d holds the diagonals -d-1 to d+1.
func walkBack(trace [][]int, x, y, d int) []pair {
	var rev []pair
	for ; d >= 0; d-- {
		row, k := trace[d], x-y
		at := func(k int) int { return row[k+d+1] }
		prev := k - 1
		if k == -d || k != d && at(k-1) < at(k+1) {
			prev = k + 1
		}
		px := at(prev)
		py := px - prev
		if d == 0 {
			px, py = 0, 0
		}
		for x > px && y > py {
			x, y = x-1, y-1
			rev = append(rev, pair{x, y})
		}
		x, y = px, py
	}
	for i, j := 0, len(rev)-1; i < j; i, j = i+1, j-1 {
		rev[i], rev[j] = rev[j], rev[i]
	}
	return rev
}

// rawLines cuts after each LF; a line keeps its line end.
func rawLines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	parts := strings.SplitAfter(string(b), "\n")
	if parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

func countDiff(old, new []byte) (added, removed int) {
	a, b := rawLines(old), rawLines(new)
	c := len(common(a, b))
	return len(b) - c, len(a) - c
}

// UnifiedDiff prints one change with 3 lines of context; "" when no byte differs.
func UnifiedDiff(c Change) []byte {
	if !c.Created && !c.Deleted && bytes.Equal(c.Old, c.Data) {
		return nil
	}
	var out bytes.Buffer
	a, b := diffName("a/", c.Path), diffName("b/", c.Path)
	fmt.Fprintf(&out, "diff --git %s %s\n", a, b)
	tail := ""
	if strings.Contains(c.Path, " ") {
		tail = "\t" // else patch ends the name at the blank
	}
	a, b = a+tail, b+tail
	switch {
	case c.Created:
		out.WriteString("new file mode 100644\n")
		a = "/dev/null"
	case c.Deleted:
		out.WriteString("deleted file mode 100644\n")
		b = "/dev/null"
	}
	old, new := rawLines(c.Old), rawLines(c.Data)
	if len(old) == 0 && len(new) == 0 {
		return out.Bytes()
	}
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", a, b)
	hunks(&out, old, new)
	return out.Bytes()
}

func diffName(prefix, p string) string {
	s := prefix + p
	if strings.ContainsAny(s, "\"\\") {
		return strconv.Quote(s)
	}
	return s
}

// step is one line of a script from old to new: ' ', '-' or '+'.
type step struct {
	mark byte
	a, b int
}

func script(old, new []string) []step {
	var out []step
	i, j := 0, 0
	for _, p := range append(common(old, new), pair{len(old), len(new)}) {
		for ; i < p.a; i++ {
			out = append(out, step{'-', i, j})
		}
		for ; j < p.b; j++ {
			out = append(out, step{'+', i, j})
		}
		if i < len(old) && j < len(new) {
			out = append(out, step{' ', i, j})
			i, j = i+1, j+1
		}
	}
	return out
}

func hunks(out *bytes.Buffer, old, new []string) {
	const context = 3
	steps := script(old, new)
	for i := 0; i < len(steps); {
		if steps[i].mark == ' ' {
			i++
			continue
		}
		from, last := max(0, i-context), i
		for k := i; k < len(steps) && k <= last+2*context; k++ {
			if steps[k].mark != ' ' {
				last = k
			}
		}
		to := min(len(steps), last+context+1)
		writeHunk(out, steps[from:to], old, new)
		i = to
	}
}

func writeHunk(out *bytes.Buffer, steps []step, old, new []string) {
	na, nb := 0, 0
	for _, s := range steps {
		if s.mark != '+' {
			na++
		}
		if s.mark != '-' {
			nb++
		}
	}
	sa, sb := steps[0].a, steps[0].b
	if na > 0 {
		sa++
	}
	if nb > 0 {
		sb++
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", sa, na, sb, nb)
	for _, s := range steps {
		text := ""
		if s.mark == '+' {
			text = new[s.b]
		} else {
			text = old[s.a]
		}
		out.WriteByte(s.mark)
		out.WriteString(text)
		if !strings.HasSuffix(text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
