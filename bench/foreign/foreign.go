// Package foreign plays a model with habits of its own behind an OpenAI-compatible API, for tests and benchmarks of whole studies on bandit_lite.
package foreign

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Model answers by reading the prompt, wraps JSON in talk, breaks it now and then, sends an edit that fits nowhere and an experiment that crashes.
// The same prompt always gets the same answer. It is an HTTP handler; set its fields before it serves.
type Model struct {
	Latency time.Duration                              // before each answer
	Answer  func(all, last string) (kind, text string) // Play by default; kind is empty for a prompt that it does not know

	mu    sync.Mutex
	asked map[string]*prompt
}

// prompt is what became of one prompt.
type prompt struct {
	kind     string
	end      string // of the prompt
	requests int
	flying   int       // being answered now
	ended    time.Time // of the last answer
}

// digest is of results that hold times: papers name them, so prompts differ in them between runs.
var digest = regexp.MustCompile(`\b[0-9a-f]{8,64}\b`)

// New makes a model.
func New() *Model { return &Model{Answer: Play, asked: map[string]*prompt{}} }

// Repeats gives how many requests came for prompts that had been asked before, but for kinds that are meant to be asked alike more than once.
func (m *Model) Repeats(except ...string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, p := range m.asked {
		if !slices.Contains(except, p.kind) {
			n += p.requests - 1
		}
	}
	return n
}

// Counts gives the requests by prompt.
func (m *Model) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for id, p := range m.asked {
		out[id] = p.requests
	}
	return out
}

// Flying gives the prompts whose answers may not have been written down yet: being answered, or answered just before.
func (m *Model) Flying(within time.Duration) map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for id, p := range m.asked {
		if n := p.flying; n > 0 {
			out[id] = n
		} else if time.Since(p.ended) < within {
			out[id] = p.requests
		}
	}
	return out
}

// Reset forgets what was asked, and tells it.
func (m *Model) Reset() map[string]int {
	out := m.Counts()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = map[string]*prompt{}
	return out
}

// Calls gives the number of requests.
func (m *Model) Calls() int { return Total(m.Counts()) }

// Total adds counts up.
func Total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Describe tells which prompt it is.
func (m *Model) Describe(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.asked[id]
	return fmt.Sprintf("%s: %.200s", p.kind, p.end)
}

// Unknown gives the number of prompts that it did not know.
func (m *Model) Unknown() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.asked {
		if p.kind == "" {
			n++
		}
	}
	return n
}

// ServeHTTP answers a chat, streamed or whole.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		http.Error(w, `{"error":{"message":"not found"}}`, http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var req struct {
		Stream   bool
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &req); err != nil || len(req.Messages) == 0 {
		http.Error(w, `{"error":{"message":"bad request"}}`, http.StatusBadRequest)
		return
	}
	var all strings.Builder
	var last string
	for _, msg := range req.Messages {
		text := contentText(msg.Content)
		all.WriteString(msg.Role + ": " + text + "\n")
		last = text
	}
	sum := sha256.Sum256([]byte(digest.ReplaceAllString(all.String(), ""))) // papers name digests of results that hold times
	id := hex.EncodeToString(sum[:])
	kind, text := m.Answer(all.String(), last)
	defer m.begin(id, kind, last)()
	if m.Latency > 0 {
		select {
		case <-time.After(m.Latency):
		case <-r.Context().Done():
			return
		}
	}
	send(w, req.Stream, text)
}

// begin counts a request; what it returns ends it.
func (m *Model) begin(id, kind, text string) (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.asked[id]
	if p == nil {
		p = &prompt{kind: kind, end: text}
		m.asked[id] = p
	}
	p.requests++
	p.flying++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		p.flying--
		p.ended = time.Now()
	}
}

func contentText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var parts []struct{ Text string }
	_ = json.Unmarshal(raw, &parts) // another shape has no text
	for _, p := range parts {
		s += p.Text
	}
	return s
}

func send(w http.ResponseWriter, stream bool, text string) {
	usage := map[string]int{"prompt_tokens": 100, "completion_tokens": len(text)/4 + 1, "total_tokens": 101 + len(text)/4}
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": "x", "object": "chat.completion", "model": "foreign-1", "usage": usage,
			"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]string{"role": "assistant", "content": text}}}})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	frame := func(choices []any, u any) {
		b, _ := json.Marshal(map[string]any{"id": "x", "object": "chat.completion.chunk", "model": "foreign-1", "choices": choices, "usage": u}) // always marshals
		_, _ = fmt.Fprintf(w, "data: %s\n\n", b)
	}
	frame([]any{map[string]any{"index": 0, "delta": map[string]string{"role": "assistant", "content": text}, "finish_reason": nil}}, nil)
	frame([]any{map[string]any{"index": 0, "delta": map[string]string{}, "finish_reason": "stop"}}, nil)
	frame([]any{}, usage)
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

var (
	runHead    = regexp.MustCompile(`# Your task: run (\d+) of at most`)
	repairHead = regexp.MustCompile(`# Your task: mend run (\d+)`)
	noteHead   = regexp.MustCompile(`# Your task: the note on run (\d+)`)
	section    = regexp.MustCompile(`# Task: (?:write|improve|revise) the section "(\w+)"`)
	needHead   = regexp.MustCompile(`(?m)^Need (\d+): .*\n- ([^:\s]+): `)
	figureName = regexp.MustCompile(`(?m)^- (\S+\.png)`)
)

// Play answers a prompt; the kind is empty when the prompt is not one that it knows.
func Play(all, last string) (kind, answer string) {
	has := func(s string) bool { return strings.Contains(all, s) }
	asked := func(s string) bool { return strings.Contains(last, s) }
	switch {
	case has("You plan experiments on a given program"):
		return playIdea(last)
	case has("You find out whether a research idea has been done before"):
		if asked("Nothing has been searched yet") {
			return "novelty search", "Let me look.\n{\"action\": \"search\", \"query\": \"exploration bonus bandit regret tuning\",}"
		}
		return "novelty verdict", `{"action": "decide", "verdict": "undecided", "explanation": "The papers shown treat the peak of the test error, not bandits, so they tell little.", "nearest": []}`
	case has("You judge scientific papers for a venue"):
		return playReview(all, last)
	case has("You are the lead of a small laboratory"):
		return "plan", "Here is my plan:\n```json\n" + `{"runs": [
 {"name": "half the bonus", "change": "UCB_CONSTANT becomes 1.0", "expected": "regret of ucb1 falls"},
 {"name": "an eighth of the bonus", "change": "UCB_CONSTANT becomes 0.25 by way of a helper", "expected": "regret of ucb1 falls further or rises again"},
 {"name": "more exploration", "change": "EPSILON becomes 0.3", "expected": "control: ucb1 does not move"}]}` + "\n```\nThat settles it."
	case has("You are the research engineer of a small laboratory") || has("# Your task: "):
		return playCoder(all, last)
	case has("You are writing a research paper"):
		return playWriter(all, last)
	}
	return "", "I am not sure what you want."
}

func playIdea(last string) (string, string) {
	idea := `{"Name": "bonus_weight", "Title": "How much optimism does UCB1 need on nearly equal arms?", "Hypothesis": "A smaller bonus lowers the regret of ucb1 at this horizon.",
 "Experiment": "Vary UCB_CONSTANT in choose_ucb1, hold arms, gap and seeds fixed, compare the regret with the unchanged program; no fall beyond two standard errors speaks against it.",
 "PrimaryMetric": {"name": "regret", "dataset": "ucb1", "direction": "minimize"},
 "PlannedRuns": [{"name": "half", "change": "UCB_CONSTANT = 1.0", "expected": "less regret"}, {"name": "eighth", "change": "UCB_CONSTANT = 0.25", "expected": "still less"}],
 "Risks": "Eight seeds are few.", "Interestingness": 5, "Feasibility": 9, "Novelty": 3}`
	if strings.Contains(last, "Read the idea above as a sceptical colleague would") {
		return "idea reflection", `{"criticism": "Few seeds, so small differences stay open.", "done": true}`
	}
	if strings.Contains(last, "That reply could not be used") {
		return "idea again", idea
	}
	return "idea draft", "Thinking about which question one could learn from...\n" + strings.Replace(idea, `"Novelty": 3}`, `"Novelty": 3,`, 1) // never closed
}

func edit(file, search, replace string) string {
	return file + "\n```python\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n```\n"
}

func playCoder(all, last string) (string, string) {
	again := !strings.Contains(last, "# Your task: ") // feedback on the last reply
	if m := noteHead.FindStringSubmatch(all); m != nil {
		return "note", "Only the constant was changed in run " + m[1] + ". The regret of ucb1 moved in the expected direction beside the baseline, more than the spread of the seeds. That speaks for the idea; longer horizons stay open."
	}
	if strings.Contains(all, "# Your task: say what the figures show") {
		var b strings.Builder
		for _, m := range figureName.FindAllStringSubmatch(last, -1) {
			b.WriteString(m[1] + ": Regret of each policy for the baseline and the runs, with one standard error as bars. Less is better.\n")
		}
		return "describe", b.String()
	}
	if strings.Contains(all, "# Your task: the figures") {
		if again || !strings.Contains(last, `"policy", align="middle")`) {
			return "plots done", "The script shows all that is asked.\n\nALL_COMPLETED"
		}
		return "plots", "A clearer axis.\n\n" + edit("plot.py", `    canvas.text((LEFT + RIGHT) // 2, BOTTOM + 70, "policy", align="middle")`, `    canvas.text((LEFT + RIGHT) // 2, BOTTOM + 70, "policy of the bandit", align="middle")`)
	}
	if repairHead.MatchString(all) {
		return "repair", "The helper was never defined.\n\n" + edit("experiment.py", "UCB_CONSTANT = weight_of_bonus(0.25)  # weight of the exploration bonus", "UCB_CONSTANT = 0.25  # weight of the exploration bonus")
	}
	m := runHead.FindStringSubmatch(all)
	if m == nil {
		return "", "I have nothing to say."
	}
	switch m[1] {
	case "1":
		if !again {
			return "run 1, an edit that fits nowhere", "Halve it.\n\n" + edit("experiment.py", "UCB_WEIGHT_OF_EXPLORATION: float = 2\nARM_COUNT = TEN", "UCB_CONSTANT = 1.0")
		}
		return "run 1", "Sorry. Halve it.\n\n" + edit("experiment.py", "UCB_CONSTANT = 2.0  # weight of the exploration bonus", "UCB_CONSTANT = 1.0  # weight of the exploration bonus")
	case "2":
		return "run 2, a crash", "Much less.\n\n" + edit("experiment.py", "UCB_CONSTANT = 1.0  # weight of the exploration bonus", "UCB_CONSTANT = weight_of_bonus(0.25)  # weight of the exploration bonus")
	case "3":
		return "run 3", "Now the control.\n\n" + edit("experiment.py", "EPSILON = 0.1  # share of steps at which epsilon-greedy explores", "EPSILON = 0.3  # share of steps at which epsilon-greedy explores")
	}
	return "runs done", "The plan is done; nothing more would add to the answer.\n\nALL_COMPLETED"
}

const steady = "The comparison holds every other part of the program fixed, so that a change of the regret can only come from the constant that was changed, and the same seeds are used for all runs of the study. A reader who starts the program again gets the same bytes, since only the standard library is used and sums are exact."

func playWriter(all, last string) (string, string) {
	switch {
	case strings.Contains(last, "# Task: outline the paper"):
		return "outline", "Sure, the outline:\n" + `{"title": "How Much Optimism Nearly Equal Arms Need", "question": "Does a smaller bonus lower regret?", "answer": "It does at this horizon.",
 "claims": [{"claim": "A smaller bonus lowers the regret of the bandit.", "refs": ["change(run_1/ucb1/regret,run_0/ucb1/regret)"]}],
 "sections": [{"section": "introduction", "points": ["why"]}, {"section": "results", "points": ["the table"]}],
 "figures": [{"file": "regret.png", "section": "results", "shows": "regret by policy"}],
 "tables": [{"label": "tab:main", "section": "results", "caption": "Regret of all runs", "rows": ["run_0", "run_1"], "cols": ["ucb1/regret[pm]"]}],
 "notation": ["K: arms"], "needs": [{"query": "double descent linear regression", "why": "another case where a constant decides", "section": "related"}]}`
	case strings.Contains(last, "# Task: choose papers"):
		var picks []string
		for _, m := range needHead.FindAllStringSubmatch(last, -1) {
			picks = append(picks, fmt.Sprintf(`{"need": %s, "keys": [%q]}`, m[1], m[2]))
		}
		return "citations", "```\n{\"picks\": [" + strings.Join(picks, ", ") + "]}\n```"
	case strings.Contains(last, "# Task: write conclusion, abstract and title"):
		return "closing", "%%% title\nHow Much Optimism Nearly Equal Arms Need\n%%% abstract\nA bandit with arms that are hard to tell apart punishes policies that explore too much. We ask how much optimism UCB needs there, and change the weight of its bonus while everything else stays. Halving it changes the regret by \\measured[sign]{change(run_1/ucb1/regret,run_0/ucb1/regret)} over the seeds of the study. " + steady + " " + steady + "\n%%% conclusion\nLess optimism helps at this horizon. " + steady + "\n\n" + steady
	case strings.Contains(last, "# Task: plan the answer to a review"):
		return "map", `{"rows": [{"comment": 1, "action": "clarify", "section": "results", "paragraphs": [1], "plan": "say what the bars are"}]}`
	case strings.Contains(last, "# Task: revise the section"):
		return "revise", "%%% " + section.FindStringSubmatch(last)[1] + ".1+\nThe bars of the figure show one standard error over the seeds, which are the same for all runs, so differences between runs are paired."
	case strings.Contains(last, "# Task: mend what the checks found"):
		return "mend", "NONE"
	case strings.Contains(last, "# Task: improve"), strings.Contains(last, "# Task: read the whole paper once more"):
		return "refine", "NONE"
	}
	m := section.FindStringSubmatch(last)
	if m == nil {
		if m = section.FindStringSubmatch(all); m == nil {
			return "", "NONE"
		}
	}
	switch m[1] {
	case "results":
		return "section results", "Sure, here is the section:\n\n\\begin{measuredtable}{label=tab:main, caption={Regret of all runs; lower is better.}, rows={run_0, run_1, run_2, run_3}, cols={ucb1/regret[pm], epsilon_greedy/regret[pm]}, bold=best}\\end{measuredtable}\n\n" +
			"Table~\\ref{tab:main} shows that the regret goes from \\measured[pm]{run_0/ucb1/regret} to \\measured[pm]{run_1/ucb1/regret}. A run that does not exist would read \\measured{run_9/ucb1/regret}. " + steady +
			"\n\n\\begin{figure}[t]\n\\centering\n\\includegraphics[width=0.8\\linewidth]{regret.png}\n\\caption{Regret by policy and run.}\n\\label{fig:regret}\n\\end{figure}\n\nFigure~\\ref{fig:regret} shows all policies. The gain is about 37.5\\% as typed here. " + steady
	case "related":
		return "section related", "Work on interpolation asks the like of a constant that decides \\need{ridge regression}{the classical source of a penalty}. " + steady
	}
	return "section " + m[1], steady + "\n\n" + "What follows concerns the part of the paper named " + m[1] + ". " + steady
}

func playReview(all, last string) (string, string) {
	comments := `"Comments": [{"claim": "The spread is not explained.", "severity": "major", "item": "Clarity", "strength": false, "quotes": [], "absent": "confidence interval"}]`
	texts := `"Summary": "A study of the bonus in UCB.", "Strengths": ["repeatable"], "Weaknesses": ["few seeds"], "Questions": ["What do the bars show?"], "Limitations": ["one horizon"]`
	switch {
	case strings.Contains(last, "reviewers have judged the paper above"):
		return "chair", "{" + texts + ", " + comments + "}"
	case strings.Contains(last, "Read the review against the paper once more"):
		return "chair reflection", `{"Changed": false, "Reason": "It holds.", "Items": [], "Scores": [], "Comments": []}`
	}
	_ = all
	return "review", "THOUGHTS: sound but small.\n```json\n{" + texts + `, "Originality": 2, "Quality": 3, "Clarity": 3, "Significance": 2, "Ethical Concerns": false, "Soundness": 3, "Presentation": 3, "Contribution": 2, "Overall": 5, "Confidence": 4, "Decision": "Reject", ` + comments + "}\n```"
}
