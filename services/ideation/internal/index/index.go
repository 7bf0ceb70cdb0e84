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

const schema = `
CREATE TABLE IF NOT EXISTS paper(
  rowid INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, title TEXT NOT NULL, title_norm TEXT NOT NULL, authors TEXT NOT NULL,
  names TEXT NOT NULL, year INTEGER NOT NULL, venue TEXT NOT NULL, kind TEXT NOT NULL, abstract TEXT NOT NULL,
  doi TEXT, arxiv TEXT, citations INTEGER, extra TEXT NOT NULL, source TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS paper_title ON paper(title_norm);
CREATE UNIQUE INDEX IF NOT EXISTS paper_doi ON paper(doi) WHERE doi IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS paper_arxiv ON paper(arxiv) WHERE arxiv IS NOT NULL;
CREATE VIRTUAL TABLE IF NOT EXISTS paper_fts USING fts5(title, abstract, names, venue, content='paper', content_rowid='rowid',
  tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE IF NOT EXISTS title(norm TEXT NOT NULL, paper INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS title_norm ON title(norm);
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT OR IGNORE INTO meta VALUES('schema', '1');`

// Index is an open list of papers.
type Index struct {
	db *sql.DB
}

// Open opens the file, or makes it; an empty path keeps the list in memory.
func Open(ctx context.Context, path string) (*Index, error) {
	dsn := ":memory:"
	if path != "" {
		dsn = "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"
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
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("paper index: %w", err), db.Close())
	}
	return &Index{db: db}, nil
}

// Close closes the file.
func (x *Index) Close() error { return x.db.Close() }

// Count is how many papers the list has.
func (x *Index) Count(ctx context.Context) (int, error) {
	var n int
	err := x.db.QueryRowContext(ctx, `SELECT count(*) FROM paper`).Scan(&n)
	return n, err
}

// Add puts papers in, in one transaction. One that is there already is replaced by the merge of both.
func (x *Index) Add(ctx context.Context, source string, papers []paper.Paper) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after the commit
	for _, p := range papers {
		if err := add(ctx, tx, source, p.Clean()); err != nil {
			return fmt.Errorf("paper index: %s: %w", p.ID, err)
		}
	}
	return tx.Commit()
}

func add(ctx context.Context, tx *sql.Tx, source string, p paper.Paper) error {
	if p.Title == "" {
		return nil
	}
	rows, err := known(ctx, tx, p)
	if err != nil {
		return err
	}
	for row, old := range rows {
		p = paper.Merge(p, old)
		if _, err := tx.ExecContext(ctx, `INSERT INTO paper_fts(paper_fts, rowid, title, abstract, names, venue)
			SELECT 'delete', rowid, title, abstract, names, venue FROM paper WHERE rowid = ?`, row); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM paper WHERE rowid = ?`, row); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM title WHERE paper = ?`, row); err != nil {
			return err
		}
	}
	return insert(ctx, tx, source, p)
}

func insert(ctx context.Context, tx *sql.Tx, source string, p paper.Paper) error {
	authors, err := json.Marshal(p.Authors)
	if err != nil {
		return err
	}
	extra, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var names []string
	for _, a := range p.Authors {
		names = append(names, a.String())
	}
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	var cited any
	if p.Citations != nil {
		cited = *p.Citations
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO paper(id,title,title_norm,authors,names,year,venue,kind,abstract,doi,arxiv,citations,extra,source)
		VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, p.ID, p.Title, text.Norm(p.Title), string(authors), strings.Join(names, ", "), p.Year, p.Venue,
		p.Kind, p.Abstract, null(p.DOI), null(p.ArXiv), cited, string(extra), source)
	if err != nil {
		return err
	}
	row, err := res.LastInsertId()
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO paper_fts(rowid, title, abstract, names, venue)
		SELECT rowid, title, abstract, names, venue FROM paper WHERE rowid = ?`, row); err != nil {
		return err
	}
	for _, t := range p.Titles() {
		if _, err := tx.ExecContext(ctx, `INSERT INTO title(norm, paper) VALUES(?,?)`, text.Norm(t), row); err != nil {
			return err
		}
	}
	return nil
}

// known finds the rows of the same paper.
func known(ctx context.Context, tx *sql.Tx, p paper.Paper) (map[int64]paper.Paper, error) {
	rows, err := tx.QueryContext(ctx, `SELECT rowid, extra FROM paper WHERE id = ? OR doi = ? OR arxiv = ? OR title_norm = ?`,
		p.ID, p.DOI, p.ArXiv, text.Norm(p.Title))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]paper.Paper{}
	for rows.Next() {
		var id int64
		var extra string
		if err := rows.Scan(&id, &extra); err != nil {
			return nil, err
		}
		var old paper.Paper
		if err := json.Unmarshal([]byte(extra), &old); err != nil {
			return nil, err
		}
		if old.ID == p.ID || paper.Same(old, p) {
			out[id] = old
		}
	}
	return out, rows.Err()
}

// Search finds papers that have all the words of a rung, or any.
func (x *Index) Search(ctx context.Context, r query.Rung, from, to, limit int) ([]paper.Paper, error) {
	if len(r.Words) == 0 {
		return nil, nil
	}
	join := " AND "
	if r.Any {
		join = " OR "
	}
	return x.papers(ctx, `SELECT p.extra FROM paper_fts f JOIN paper p ON p.rowid = f.rowid
		WHERE paper_fts MATCH ? AND (? = 0 OR p.year >= ?) AND (? = 0 OR p.year <= ?)
		ORDER BY bm25(paper_fts, 10, 2, 3, 1), p.citations DESC, p.year DESC, p.id LIMIT ?`,
		quote(r.Words, join), from, from, to, to, limit)
}

// Rarity counts the papers in which a word occurs.
func (x *Index) Rarity(ctx context.Context, word string) int {
	var n int
	if err := x.db.QueryRowContext(ctx, `SELECT count(*) FROM paper_fts WHERE paper_fts MATCH ?`, quote([]string{word}, "")).Scan(&n); err != nil {
		return 0 // the order of words is a guess anyway
	}
	return n
}

// ByID finds papers by DOI or arXiv number.
func (x *Index) ByID(ctx context.Context, doi, arXiv string) ([]paper.Paper, error) {
	return x.papers(ctx, `SELECT extra FROM paper WHERE doi = ? OR arxiv = ?`, doi, arXiv)
}

// ByTitle finds the papers that may bear a title: those that do, then those that share most words.
func (x *Index) ByTitle(ctx context.Context, title string, limit int) ([]paper.Paper, error) {
	out, err := x.papers(ctx, `SELECT p.extra FROM title t JOIN paper p ON p.rowid = t.paper WHERE t.norm = ? LIMIT ?`, text.Norm(title), limit)
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
		var extra string
		if err := rows.Scan(&extra); err != nil {
			return nil, fmt.Errorf("paper index: %w", err)
		}
		var p paper.Paper
		if err := json.Unmarshal([]byte(extra), &p); err != nil {
			return nil, fmt.Errorf("paper index: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

func quote(words []string, join string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = `"` + strings.ReplaceAll(w, `"`, `""`) + `"`
	}
	return strings.Join(quoted, join)
}
