package literature

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/match"
	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// importNext is how the local list gets more papers.
const importNext = "nullius literature import FILE"

// coverage says that the local list knows no such paper.
func (b *Broker) coverage(ctx context.Context) string {
	return fmt.Sprintf("Not among the local index's %d papers: proves nothing.", b.Local.Count(ctx))
}

// ofSearch is the sentence and the next step of a search that found nothing.
func ofSearch(r SearchResult) (sentence, next string) {
	if r.Outcome == FoundPapers {
		return "", ""
	}
	if r.Outcome == Unavailable {
		return unanswered(r.Asked)
	}
	return nothing(r.Asked)
}

// unanswered says which engine said what, and takes the first next step that one of them has.
func unanswered(asked []Asked) (sentence, next string) {
	var said []string
	for _, a := range asked {
		if a.Detail != "" {
			said = append(said, strings.TrimSuffix(a.Detail, "."))
		}
		if next == "" || a.Result == Failed && a.Next != "" {
			next = a.Next
		}
	}
	sentence = "No engine answered."
	if len(said) > 0 {
		sentence = "No engine answered: " + strings.Join(said, "; ") + "."
	}
	if next == "" {
		next = "nullius status"
	}
	return sentence, next
}

// nothing says that the engines that answered know nothing.
func nothing(asked []Asked) (sentence, next string) {
	online := false
	for _, a := range asked {
		if a.Result == Empty && a.Cause != Coverage {
			online = true
		}
		if a.Cause == Coverage {
			sentence, next = a.Detail, a.Next
		}
	}
	if online {
		return "The engines that answered know no paper with these words.", "ask with fewer or other words"
	}
	return sentence, next
}

// ofResolve is the sentence and the next step of a reference that was not found.
func ofResolve(r ResolveResult, ref match.Reference, denied []Engine, coverage string, now time.Time) (sentence, next string) {
	if r.Outcome != NotFound {
		local := false
		for _, a := range r.Asked {
			if a.Result == Failed {
				return unanswered(r.Asked)
			}
			local = local || a.Engine == paper.Local
		}
		switch {
		case len(denied) > 0:
			return fmt.Sprintf("%s knows no %s, which alone proves nothing.", titles(denied), cited(ref)), "nullius literature resolve --engine NAME"
		case local:
			return coverage, importNext
		}
		return unanswered(r.Asked)
	}
	verb := "knows"
	if len(denied) > 1 {
		verb = "know"
	}
	sentence = fmt.Sprintf("%s %s no %s (%s)", titles(denied), verb, cited(ref), now.UTC().Format(time.DateOnly))
	if len(r.Nearest) > 0 {
		sentence += fmt.Sprintf("; nearest: %q", text.ClipRunes(r.Nearest[0].Paper.Title, 100))
	}
	return sentence + ".", "nullius literature resolve"
}

func cited(ref match.Reference) string {
	switch {
	case ref.Title != "":
		return fmt.Sprintf("%q", text.ClipRunes(ref.Title, 100))
	case ref.DOI != "":
		return "doi " + ref.DOI
	}
	return "arXiv " + ref.ArXiv
}

func titles(es []Engine) string {
	names := make([]string, len(es))
	for i, e := range es {
		names[i] = e.Title()
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}
