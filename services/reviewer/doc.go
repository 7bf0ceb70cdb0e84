// Package reviewer turns a paper into a review that can be checked.
//
// Several reviewers answer a form side by side; their scores are averaged by
// arithmetic, a chair model writes the text from their reviews and the paper and
// reads it once more, and a policy turns the final score into a decision. Quotes are
// searched in the paper, and checks by code stand beside the review. A model that
// answers with nonsense costs its own review, never the service.
package reviewer
