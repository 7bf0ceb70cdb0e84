// Package index is a searchable list of papers in one SQLite file, and the list that comes with the program.
//
// A query's words are quoted one by one, so no operator of the full-text language can be reached from outside.
package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	_ "modernc.org/sqlite" // the driver

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/query"
	"nullius.dev/services/ideation/internal/text"
)

// schemaVersion is written into a new file; one of another version is refused.
const schemaVersion = "3"

const schema = `
CREATE TABLE IF NOT EXISTS paper(
  rowid INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, title TEXT NOT NULL, title_norm TEXT NOT NULL,
  names TEXT NOT NULL, year INTEGER NOT NULL, venue TEXT NOT NULL, abstract TEXT NOT NULL,
  doi TEXT, arxiv TEXT, citations INTEGER, extra TEXT NOT NULL, source TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS paper_title ON paper(title_norm);
CREATE UNIQUE INDEX IF NOT EXISTS paper_doi ON paper(doi) WHERE doi IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS paper_arxiv ON paper(arxiv) WHERE arxiv IS NOT NULL;
CREATE VIRTUAL TABLE IF NOT EXISTS paper_fts USING fts5(title, abstract, names, venue, content='paper', content_rowid='rowid',
  tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE IF NOT EXISTS title(norm TEXT NOT NULL, paper INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS title_norm ON title(norm);
CREATE INDEX IF NOT EXISTS title_paper ON title(paper);
CREATE TABLE IF NOT EXISTS record(name TEXT PRIMARY KEY, paper INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_paper ON record(paper);
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT OR IGNORE INTO meta VALUES('schema', '` + schemaVersion + `');`

// Index is an open list of papers.
type Index struct {
	db       *sql.DB
	asked    statements
	postings postings
}

// Open opens the file, or makes it; an empty path keeps the list in memory.
func Open(ctx context.Context, path string) (*Index, error) {
	dsn := ":memory:"
	if path != "" {
		dsn = "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-16000)"
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	if path == "" {
		db.SetMaxOpenConns(1) // each connection would have a memory of its own
	} else {
		db.SetMaxOpenConns(4)
	}
	if err := prepare(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("paper index: %w", err), db.Close())
	}
	x := &Index{db: db}
	if err := x.asked.ready(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("paper index: %w", err), db.Close())
	}
	return x, nil
}

// statements are made ready once: a search asks many small questions.
type statements struct{ version, size, rows *sql.Stmt }

func (s *statements) ready(ctx context.Context, db *sql.DB) error {
	for q, to := range map[string]**sql.Stmt{
		`SELECT coalesce(max(value), '') FROM meta WHERE key = 'changed'`: &s.version,
		`SELECT coalesce(max(rowid), 0) FROM paper`:                       &s.size, // counting takes longer and tells no more
		// One value is read much faster than as many rows.
		`SELECT coalesce(group_concat(rowid), '') FROM (SELECT rowid FROM paper_fts WHERE paper_fts MATCH ? LIMIT ?)`: &s.rows,
	} {
		var err error
		if *to, err = db.PrepareContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the tables, or checks that they are ours.
func prepare(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	var version string
	if err := db.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'schema'`).Scan(&version); err != nil {
		return err
	}
	if version != schemaVersion {
		return fmt.Errorf("the list has form %s, this program reads %s: import its files anew", version, schemaVersion)
	}
	var weights int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM paper_fts_config WHERE k = 'rank'`).Scan(&weights); err != nil || weights > 0 {
		return err
	}
	// Titles tell most, names and abstracts less.
	_, err := db.ExecContext(ctx, `INSERT INTO paper_fts(paper_fts, rank) VALUES('rank', 'bm25(10.0, 2.0, 3.0, 1.0)')`)
	return err
}

// Close closes the file.
func (x *Index) Close() error { return x.db.Close() }

// Count is how many papers the list has.
func (x *Index) Count(ctx context.Context) (int, error) {
	var n int
	err := x.db.QueryRowContext(ctx, `SELECT count(*) FROM paper`).Scan(&n)
	return n, err
}

// ByID finds papers by DOI or arXiv number.
func (x *Index) ByID(ctx context.Context, doi, arXiv string) ([]paper.Paper, error) {
	return x.papers(ctx, `SELECT extra, abstract FROM paper WHERE doi = ? OR arxiv = ?`, doi, arXiv)
}

// ByTitle finds the papers that may bear a title: those that do, then those that share most words.
func (x *Index) ByTitle(ctx context.Context, title string, limit int) ([]paper.Paper, error) {
	norm := text.Norm(title)
	out, err := x.papers(ctx, `SELECT extra, abstract FROM paper WHERE title_norm = ? UNION ALL
		SELECT p.extra, p.abstract FROM title t JOIN paper p ON p.rowid = t.paper WHERE t.norm = ? LIMIT ?`, norm, norm, limit)
	if err != nil {
		return nil, err
	}
	words := query.Content(title)
	more, err := x.Search(ctx, query.Rung{Words: words, Any: true}, 0, 0, limit)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range out {
		seen[p.ID] = true
	}
	for _, p := range more {
		if !seen[p.ID] {
			out = append(out, p)
		}
	}
	return out, nil
}

func (x *Index) papers(ctx context.Context, q string, args ...any) ([]paper.Paper, error) {
	rows, err := x.db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("paper index: %w", err)
	}
	defer rows.Close()
	var out []paper.Paper
	for rows.Next() {
		var extra, abstract string
		if err := rows.Scan(&extra, &abstract); err != nil {
			return nil, fmt.Errorf("paper index: %w", err)
		}
		p, err := unpack(extra, abstract)
		if err != nil {
			return nil, fmt.Errorf("paper index: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// unpack reads a record, whose abstract lies apart so that it is kept once.
func unpack(extra, abstract string) (paper.Paper, error) {
	var p paper.Paper
	err := json.Unmarshal([]byte(extra), &p)
	p.Abstract = abstract
	return p, err
}

func quote(words []string, join string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = `"` + strings.ReplaceAll(w, `"`, `""`) + `"`
	}
	return strings.Join(quoted, join)
}
