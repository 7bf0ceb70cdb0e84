// Package subject holds every stream, bucket and subject name of the suite, and how message ids are made.
// They are the only such strings: what one part publishes and another reads is spelled here once.
package subject

import "fmt"

// Streams, each declared by its owner.
const (
	StreamJournal  = "JOURNAL"   // gateway: events of studies and ideas
	StreamIdeas    = "IDEAS"     // gateway: one message per runnable machine
	StreamEvents   = "EVENTS"    // gateway: public events
	StreamSpans    = "SPANS"     // every process: ended spans, in memory
	StreamJobs     = "JOBS"      // executor: work queue
	StreamJobLogs  = "JOB_LOGS"  // executor: log chunks, in memory
	StreamJobsDead = "JOBS_DEAD" // executor: dead letters
)

// Key-value buckets.
const (
	BucketJobState  = "JOB_STATE"
	BucketLedger    = "LEDGER"
	BucketBudgets   = "BUDGETS"
	BucketNodes     = "NODES"
	BucketTemplates = "TEMPLATES"
	BucketRequests  = "REQUESTS" // request ids of mutating calls, 24 h
	BucketEngines   = "ENGINES"
)

// StudyItself stands where an idea's id would for a study's own journal, steps and account.
const StudyItself = "_"

// Journal is the subject of an idea's journal; idea StudyItself is the study's own.
func Journal(study, idea string) string { return "nullius.journal." + study + "." + idea }

// JournalAll matches every journal.
const JournalAll = "nullius.journal.>"

// Idea is the work-queue subject of a machine.
func Idea(study, idea string) string { return "nullius.ideas." + study + "." + idea }

// IdeasAll matches every machine.
const IdeasAll = "nullius.ideas.>"

// Event is the subject of a public event.
func Event(study, idea, kind string) string {
	return "nullius.events." + study + "." + idea + "." + kind
}

// EventsOf matches the public events of a study, or of one of its ideas when idea is not empty.
func EventsOf(study, idea string) string {
	if idea == "" {
		return "nullius.events." + study + ".>"
	}
	return "nullius.events." + study + "." + idea + ".>"
}

// EventsAll matches every public event.
const EventsAll = "nullius.events.>"

// EventID is the message id of the public event that projects journal event n.
func EventID(study, idea string, n int64) string { return fmt.Sprintf("%s.%s.%d", study, idea, n) }

// KindJob is the kind of the public events of jobs, which the executor publishes beside the gateway's.
const KindJob = "job"

// JobEventID is the message id of the public event of a job's end. Unlike those of the gateway it ends in no number of a journal's event.
func JobEventID(job string, attempt int32) string { return fmt.Sprintf("%s/%d", job, attempt) }

// Progress is the core-NATS subject on which a running step's progress is told; nothing keeps it.
func Progress(study, idea string) string { return "nullius.progress." + study + "." + idea }

// SpansAll matches every span.
const SpansAll = "nullius.spans.>"

// Jobs is the queue of a pool.
func Jobs(pool string) string { return "nullius.jobs." + pool }

// JobsAll matches every pool's queue.
const JobsAll = "nullius.jobs.*"

// JobLog is the subject of a job's log chunks; key is the job id with dots for slashes.
func JobLog(key string) string { return "nullius.joblogs." + key }

// JobLogsAll matches every job's logs.
const JobLogsAll = "nullius.joblogs.>"

// JobSample is the core-NATS subject on which is told what a running job uses; nothing keeps it. key is that of JobLog.
func JobSample(key string) string { return "nullius.jobsamples." + key }

// JobDead is the subject of a pool's dead letters.
func JobDead(pool string) string { return "nullius.deadjobs." + pool }

// JobsDeadAll matches every dead letter.
const JobsDeadAll = "nullius.deadjobs.>"
