package gateway_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// hostileNames are names that leave their folder, mean something to a shell, a subject, a page or a file system, or fool who reads them.
func hostileNames() (all []string) {
	atoms := []string{
		"..", "../x", "../../../../etc/passwd", "a/../../x", "a/./x", "a//x", "./x", "/etc/passwd", "//etc/passwd", "/", ".", "x/", `..\..\x`, `C:\x`, "~", "~root/x",
		"%2e%2e%2fx", "%2e%2e/x", "..%2fx", "%252e%252e%252fx", "%00", "%2f", "x\x00y", "x\ny", "x\r\nSet-Cookie: a=b", "x\ty", "x\x1b[2Jy", "x\x7fy", "\ufeffx", "x\u200by",
		"\u202egnp.exe", "x\u2028y", "*", "x*", ">", "x.>", "x.*", "x.y", "$JS.API.>", "$KV.x", "-rf", "--help", "-", "$(id)", "${IFS}x", "`id`", ";id", "|id", "&id", "'id'", `"id"`, "x y", " x", "x ",
		"x.", ".x", ".git/config", ".ssh/id_rsa", "CON", "nul.txt", "aux", "x:y", "x?y=z", "x#y", "x\\y", "{x}", "[x]", "e\u0301", "ﬁ", "日本", "😀", strings.Repeat("n", 64), strings.Repeat("n", 4096),
		strings.Repeat("x/", 300) + "x", "<script>alert(1)</script>", `"onload="alert(1)`, "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "<!--", "]]>", "{{.}}", "\\input{/etc/passwd}",
		"_", "0", "null", "true", "studies/s", "idea-1",
	}
	for _, a := range atoms {
		all = append(all, a, "latex/"+a)
	}
	return all
}

var plainID = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)

// TestHostileNames offers each name wherever a caller may name something: it is refused, or it is one that every place it comes to can have.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "writing"})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	idea, site := name+"/ideas/idea-1", w.site()
	before := outside(t, w.dir)
	names := hostileNames()
	if len(names) < 120 {
		t.Errorf("only %d names", len(names))
	}
	for _, v := range names {
		started, err := w.api.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/toy", StudyId: v, Settings: &gatewayv1.StudySettings{Model: "m", Until: "ideation"}})
		if v != "" && err == nil && (!plainID.MatchString(v) || started.GetStudy().GetName() != "studies/"+v) {
			t.Errorf("study id %q is taken as %s", v, started.GetStudy().GetName())
		}
		if up, err := w.upload(v, toy()); err == nil && (!plainID.MatchString(v) || up.GetTemplate().GetName() != "templates/"+v) {
			t.Errorf("template %q is taken as %s", v, up.GetTemplate().GetName())
		}
		files := toy()
		files[v] = "x"
		if _, err := w.upload("files", files); err == nil && !fs.ValidPath(v) || err == nil && strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("a template's file %q is taken", v)
		}
		for _, from := range []string{idea + "/files/" + v, idea + "/blobs/" + v, "templates/toy/files/" + v, "studies/" + v + "/ideas/idea-1/files/log.txt", "studies/" + v, v} {
			if got := w.tryFile(from); strings.Contains(got, "root:") {
				t.Errorf("ReadFile of %q gives %q", from, got)
			}
		}
		for _, p := range []string{url.PathEscape(v), (&url.URL{Path: v}).EscapedPath()} {
			for _, from := range []string{"/v1/" + idea + "/files/", "/v1/" + idea + "/blobs/", "/v1/" + idea + "/history/", "/studies/", "/" + idea + "/", "/web/"} {
				body, r := get(t, site+from+p)
				html := strings.HasPrefix(r.Header.Get("Content-Type"), "text/html")
				if html && strings.Contains(body, "<script>alert") || !html && r.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("a browser may run what GET %s%s gives: %v\n%.300s", from, p, r.Header, body)
				}
				if strings.Contains(body, "root:") || r.Header.Get("Set-Cookie") != "" || r.StatusCode >= 500 {
					t.Errorf("GET %s%s: %s\n%.300s", from, p, r.Status, body)
				}
			}
		}
	}
	if after := outside(t, w.dir); after != before {
		t.Errorf("beside the data folder lay\n%s\nnow lies\n%s", before, after)
	}
}

// TestHostileNamesOfIdeas has ideas named as no folder can be; their results still lie where they should, and pages show them as text.
func TestHostileNamesOfIdeas(t *testing.T) {
	w := newWorld(t)
	var own []*recordv1.Idea
	for _, v := range hostileNames() {
		if len(own) < 60 && len(v) < 200 && !strings.HasPrefix(v, "latex/") {
			own = append(own, &recordv1.Idea{Name: v, Title: "about " + strings.ToValidUTF8(v, "?"), Experiment: v})
		}
	}
	name := w.study(&gatewayv1.StudySettings{Parallel: 60, Until: "novelty"}, own...)
	st := w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	site := w.site()
	page(t, site+"/"+name, 200)
	for i, s := range st.GetIdeas() {
		if want := fmt.Sprintf("%s/ideas/idea-%d", name, i+1); s.GetName() != want {
			t.Errorf("idea %q is named %s, want %s", own[i].GetName(), s.GetName(), want)
		}
		page(t, site+"/"+s.GetName(), 200)
	}
}

// tryFile reads a file that may not be there.
func (w *world) tryFile(name string) string {
	s, err := w.api.ReadFile(w.t.Context(), &gatewayv1.ReadFileRequest{Name: name})
	if err != nil {
		return ""
	}
	r, err := s.Recv()
	if err != nil {
		return ""
	}
	return string(r.GetData())
}

// outside lists what lies beside a folder and above it.
func outside(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for _, d := range []string{path.Dir(dir), path.Dir(path.Dir(dir))} {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if d == path.Dir(dir) || e.Name() == "x" || e.Name() == "etc" {
				all = append(all, filepath.Join(d, e.Name()))
			}
		}
	}
	return strings.Join(all, "\n")
}
