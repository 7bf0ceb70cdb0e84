// Package coder turns instructions into edits of a snapshot, and never lets a wrong one, or none, reach an executor.
//
// A pure edit engine (internal/edit) plans a reply's blocks against the tree: all land or none does. Around it a loop (loop.go) asks, checks and
// asks again within limits; what cannot be used ends as an outcome, not as an error. Failures of experiments are read, not cut
// (internal/failure). A call is a function of its request and of the ledger's answers: nothing is kept between calls.
package coder
