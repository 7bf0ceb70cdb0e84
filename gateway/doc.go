// Package gateway is the suite's front: StudyService, the driver that runs studies and ideas, REST, event streams and the pages.
//
// Everything a study or an idea is lies in its journal. The pure package internal/pipeline says what comes next; the driver here
// does it and appends what came of it; the API handlers append what people ask for. Files, reports and pages are read from the
// journal's projection and the blob store, never from a store of their own.
package gateway
