// Package executor runs commands over snapshots in a sandbox on CPU or GPU
// slots and says truthfully what happened.
//
// A job is a key of JOB_STATE and a message of JOBS that names it. A node
// reserves a slot, then fetches one message, claims the job by compare-and-set
// on its key, runs it, commits the result by compare-and-set, and only then
// acknowledges. The key decides; the message only wakes somebody up. So a
// second delivery, a second executor and a frozen one that comes back find
// either a live claim, an end, or a revision that is not theirs.
//
// Every replica answers for every job, since all of it lies in the broker and
// the blob store.
//
//	service.go   configuration and the verbs
//	jobs.go      streams, buckets, and the record of a job with its CAS
//	node.go      slots, fetching, heartbeats, recovery
//	announce.go  what the node says of itself
//	claim.go     what to do with a delivered message
//	attempt.go   one attempt: stage, run, collect
//	commit.go    how it comes into the record, or gives the job back
//	recover.go   what a restarted process does about its predecessor's jobs
//	large.go     results too long for a record
//	events.go    the end of a job among the public events of its study
//	full.go      what waits for room in a store
//	deadletter.go, prune.go   messages and records that nobody needs any more
//	slots.go     places for jobs
//	gpus.go, gpustate.go, gpuuse.go   who may use a GPU, and what a job did with it
//	logs.go      log chunks for watchers, head and tail for keeping
//	samples.go   what a running job uses, for watchers
//	watch.go     the stream of one job
package executor
