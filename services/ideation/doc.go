// Package ideation makes ideas for experiments, judges whether they are new, and knows the literature.
//
// Two gRPC services live in one process. IdeationService drafts an idea, lets the model criticise it, and sends back what
// repeats an older one; it judges novelty in rounds of search and decision. LiteratureService finds papers and says whether
// a cited one exists; it is the one place for engines' keys, limits and cache (internal/literature).
//
// What a model says is read leniently and believed little: a verdict needs evidence that code can count. NOT_NOVEL needs a
// paper that was shown, NOVEL needs searches that were answered by more than the list of papers that comes with the program.
// Replies that cannot be used are outcomes, never errors. Every loop has a limit.
//
// Nothing random or timed enters a request, so a step that runs again finds its answers in the ledger.
package ideation
