package foreign

import (
	"fmt"
	"regexp"
	"strings"
)

// Mind is how a model answers for one template. Texts are whole replies, with the talk and the flaws around them.
type Mind struct {
	Idea      string // a JSON object; the first draft of it comes cut off
	Query     string // for the literature
	Plan      string
	Run       func(p Prompt, n int) string // reply to the task of run n
	Repair    func(p Prompt, n int) string
	Plots     func(p Prompt) string
	Describe  string // what is said of each figure
	Note      string // on a run
	Outline   string
	Closing   string
	Sections  map[string]string // by the writer's names; others get Steady
	Steady    string            // a paragraph without numbers
	Revision  string            // of a section
	Criticism string            // the fields Summary to Comments of a review, without braces
}

// Prompt is what a reply may look at.
type Prompt struct {
	All, Last string
	Again     bool // the task was answered before; Last tells what was wrong with it
	Turn      int  // answers so far
}

// File gives a file of the prompt as it stands now.
func (p Prompt) File(name string) string {
	_, rest, ok := strings.Cut(p.All, "\n"+name+" (editable):\n")
	if !ok {
		return ""
	}
	fence, rest, _ := strings.Cut(rest, "\n")
	text, _, _ := strings.Cut(rest, "\n"+strings.TrimRight(fence, "abcdefghijklmnopqrstuvwxyz"))
	return text + "\n"
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
func (m Mind) Play(all, last string) (kind, answer string) {
	has := func(s string) bool { return strings.Contains(all, s) }
	switch {
	case has("You plan experiments on a given program"):
		return m.idea(last)
	case has("You find out whether a research idea has been done before"):
		if strings.Contains(last, "Nothing has been searched yet") {
			return "novelty search", "Let me look.\n{\"action\": \"search\", \"query\": \"" + m.Query + "\",}"
		}
		return "novelty verdict", `{"action": "decide", "verdict": "undecided", "explanation": "The papers shown ask other questions, so they tell little.", "nearest": []}`
	case has("You judge scientific papers for a venue"):
		return m.review(last)
	case has("You are the lead of a small laboratory"):
		return "plan", m.Plan
	case has("You are the research engineer of a small laboratory") || has("# Your task: "):
		return m.code(all, last)
	case has("You are writing a research paper"):
		return m.write(all, last)
	}
	return "", "I am not sure what you want."
}

func (m Mind) idea(last string) (string, string) {
	if strings.Contains(last, "Read the idea above as a sceptical colleague would") {
		return "idea reflection", `{"criticism": "Few seeds, so small differences stay open.", "done": true}`
	}
	if strings.Contains(last, "That reply could not be used") {
		return "idea again", m.Idea
	}
	return "idea draft", "Thinking about which question one could learn from...\n" + strings.TrimSuffix(m.Idea, "}") + "," // never closed
}

func (m Mind) code(all, last string) (string, string) {
	p := Prompt{All: all, Last: last, Again: !strings.Contains(last, "# Your task: "), Turn: strings.Count(all, "\nassistant: ")}
	number := func(head []string) (n int) {
		_, _ = fmt.Sscan(head[1], &n) // the expression takes digits only
		return n
	}
	if noteHead.MatchString(all) {
		return "note", m.Note
	}
	if strings.Contains(all, "# Your task: say what the figures show") {
		var b strings.Builder
		for _, f := range figureName.FindAllStringSubmatch(last, -1) {
			b.WriteString(f[1] + ": " + m.Describe + "\n")
		}
		return "describe", b.String()
	}
	if strings.Contains(all, "# Your task: the figures") {
		return "plots", m.Plots(p)
	}
	if head := repairHead.FindStringSubmatch(all); head != nil {
		return "repair " + head[1], m.Repair(p, number(head))
	}
	if head := runHead.FindStringSubmatch(all); head != nil {
		return "run " + head[1], m.Run(p, number(head))
	}
	return "", "I have nothing to say."
}

func (m Mind) write(all, last string) (string, string) {
	switch {
	case strings.Contains(last, "# Task: outline the paper"):
		return "outline", m.Outline
	case strings.Contains(last, "# Task: choose papers"):
		var picks []string
		for _, need := range needHead.FindAllStringSubmatch(last, -1) {
			picks = append(picks, fmt.Sprintf(`{"need": %s, "keys": [%q]}`, need[1], need[2]))
		}
		return "citations", "```\n{\"picks\": [" + strings.Join(picks, ", ") + "]}\n```"
	case strings.Contains(last, "# Task: write conclusion, abstract and title"):
		return "closing", m.Closing
	case strings.Contains(last, "# Task: plan the answer to a review"):
		return "map", `{"rows": [{"comment": 1, "action": "clarify", "section": "results", "paragraphs": [1], "plan": "say what the bars are"}]}`
	case strings.Contains(last, "# Task: revise the section"):
		return "revise", "%%% " + section.FindStringSubmatch(last)[1] + ".1+\n" + m.Revision
	case strings.Contains(last, "# Task: mend what the checks found"):
		return "mend", "NONE"
	case strings.Contains(last, "# Task: improve"), strings.Contains(last, "# Task: read the whole paper once more"):
		return "refine", "NONE"
	}
	head := section.FindStringSubmatch(last)
	if head == nil {
		if head = section.FindStringSubmatch(all); head == nil {
			return "", "NONE"
		}
	}
	if text := m.Sections[head[1]]; text != "" {
		return "section " + head[1], text
	}
	return "section " + head[1], m.Steady + "\n\n" + "What follows concerns the part of the paper named " + head[1] + ". " + m.Steady
}

func (m Mind) review(last string) (string, string) {
	switch {
	case strings.Contains(last, "reviewers have judged the paper above"):
		return "chair", "{" + m.Criticism + "}"
	case strings.Contains(last, "Read the review against the paper once more"):
		return "chair reflection", `{"Changed": false, "Reason": "It holds.", "Items": [], "Scores": [], "Comments": []}`
	}
	return "review", "THOUGHTS: sound but small.\n```json\n{" + m.Criticism + `, "Originality": 2, "Quality": 3, "Clarity": 3, "Significance": 2, "Ethical Concerns": false, "Soundness": 3, "Presentation": 3, "Contribution": 2, "Overall": 5, "Confidence": 4, "Decision": "Reject"` + "}\n```"
}

// Edit is one block in the form that the coder's prompt asks for.
func Edit(file, search, replace string) string {
	return file + "\n```python\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n```\n"
}

// whole is a file as one listing.
func whole(file, text string) string { return file + "\n```python\n" + text + "```\n" }
