package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// Added says what became of papers.
type Added struct{ New, Merged, Skipped int }

// Add puts papers in, in one transaction. One that is there already is replaced by the merge of both; one without a title is
// skipped.
func (x *Index) Add(ctx context.Context, source string, papers []paper.Paper) (Added, error) {
	var out Added
	err := x.within(ctx, func(w *writer) error {
		for _, p := range papers {
			if err := w.add(ctx, source, p.Clean(), &out); err != nil {
				return fmt.Errorf("paper index: %s: %w", p.ID, err)
			}
		}
		return nil
	})
	return out, err
}

// Describe notes where papers came from, and under which licence.
func (x *Index) Describe(ctx context.Context, source, licence string, count int) error {
	v, err := json.Marshal(map[string]any{"licence": licence, "papers": count, "imported": time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	_, err = x.db.ExecContext(ctx, `INSERT OR REPLACE INTO meta VALUES(?, ?)`, "source:"+source, string(v))
	return err
}

// Abstracts fills in abstracts that came apart from their papers, by the number of the record that a paper came from.
func (x *Index) Abstracts(ctx context.Context, engine string, of map[string]string) (int, error) {
	n := 0
	err := x.within(ctx, func(w *writer) error {
		for record, abstract := range of {
			rows, err := w.rows(ctx, `SELECT p.rowid, p.extra, p.abstract FROM record r JOIN paper p ON p.rowid = r.paper WHERE r.name = ?`, engine+":"+record)
			if err != nil {
				return err
			}
			for row, p := range rows {
				if len(abstract) <= len(p.Abstract) {
					continue
				}
				p.Abstract = abstract
				if err := w.remove(ctx, row); err != nil {
					return err
				}
				if err := w.insert(ctx, p.Origins[0].Engine, p.Clean()); err != nil {
					return err
				}
				n++
			}
		}
		return nil
	})
	return n, err
}

// writer is a transaction with its statements made ready.
type writer struct {
	tx    *sql.Tx
	ready map[string]*sql.Stmt
}

func (x *Index) within(ctx context.Context, do func(*writer) error) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after the commit
	w := &writer{tx: tx, ready: map[string]*sql.Stmt{}}
	if err := do(w); err != nil {
		return err
	}
	// Whoever remembers where words occur, in any process, is told that it is not so any more.
	if _, err := w.exec(ctx, `INSERT OR REPLACE INTO meta VALUES('changed', hex(randomblob(8)))`); err != nil {
		return err
	}
	return tx.Commit()
}

func (w *writer) stmt(ctx context.Context, q string) (*sql.Stmt, error) {
	if s, ok := w.ready[q]; ok {
		return s, nil
	}
	s, err := w.tx.PrepareContext(ctx, q)
	if err == nil {
		w.ready[q] = s
	}
	return s, err
}

func (w *writer) exec(ctx context.Context, q string, args ...any) (int64, error) {
	s, err := w.stmt(ctx, q)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// rows reads papers by their rows.
func (w *writer) rows(ctx context.Context, q string, args ...any) (map[int64]paper.Paper, error) {
	s, err := w.stmt(ctx, q)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]paper.Paper{}
	for rows.Next() {
		var id int64
		var extra, abstract string
		if err := rows.Scan(&id, &extra, &abstract); err != nil {
			return nil, err
		}
		p, err := unpack(extra, abstract)
		if err != nil {
			return nil, err
		}
		out[id] = p
	}
	return out, rows.Err()
}

func (w *writer) add(ctx context.Context, source string, p paper.Paper, out *Added) error {
	if text.Norm(p.Title) == "" {
		out.Skipped++
		return nil
	}
	merged := false
	for { // a merge may know an identifier by which yet another row is found
		rows, err := w.known(ctx, p)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		merged = true
		for _, row := range slices.Sorted(maps.Keys(rows)) {
			p = paper.Merge(p, rows[row])
			if err := w.remove(ctx, row); err != nil {
				return err
			}
		}
	}
	if merged {
		out.Merged++
	} else {
		out.New++
	}
	return w.insert(ctx, source, p)
}

// known finds the rows of the same paper.
func (w *writer) known(ctx context.Context, p paper.Paper) (map[int64]paper.Paper, error) {
	out := map[int64]paper.Paper{}
	for _, q := range []struct{ by, value string }{{"id", p.ID}, {"doi", p.DOI}, {"arxiv", p.ArXiv}, {"title_norm", text.Norm(p.Title)}} {
		if q.value == "" {
			continue
		}
		rows, err := w.rows(ctx, `SELECT rowid, extra, abstract FROM paper WHERE `+q.by+` = ? LIMIT 20`, q.value)
		if err != nil {
			return nil, err
		}
		for row, old := range rows {
			if old.ID == p.ID || paper.Same(old, p) {
				out[row] = old
			}
		}
	}
	return out, nil
}

func (w *writer) remove(ctx context.Context, row int64) error {
	_, err := w.exec(ctx, `INSERT INTO paper_fts(paper_fts, rowid, title, abstract, names, venue)
		SELECT 'delete', rowid, title, abstract, names, venue FROM paper WHERE rowid = ?`, row)
	for _, q := range []string{`DELETE FROM paper WHERE rowid = ?`, `DELETE FROM title WHERE paper = ?`, `DELETE FROM record WHERE paper = ?`} {
		if err == nil {
			_, err = w.exec(ctx, q, row)
		}
	}
	return err
}

func (w *writer) insert(ctx context.Context, source string, p paper.Paper) error {
	rest := p
	rest.Abstract = ""
	extra, err := json.Marshal(rest)
	if err != nil {
		return err
	}
	var names []string
	for _, a := range p.Authors {
		names = append(names, a.String())
	}
	var cited any
	if p.Citations != nil {
		cited = *p.Citations
	}
	row, err := w.exec(ctx, `INSERT INTO paper(id,title,title_norm,names,year,venue,abstract,doi,arxiv,citations,extra,source) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)`,
		p.ID, p.Title, text.Norm(p.Title), strings.Join(names, ", "), p.Year, p.Venue, p.Abstract, null(p.DOI), null(p.ArXiv), cited, string(extra), source)
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, `INSERT INTO paper_fts(rowid, title, abstract, names, venue) SELECT rowid, title, abstract, names, venue FROM paper WHERE rowid = ?`, row)
	for _, t := range p.OtherTitles {
		if err == nil {
			_, err = w.exec(ctx, `INSERT INTO title(norm, paper) VALUES(?,?)`, text.Norm(t), row)
		}
	}
	for _, o := range p.Origins {
		if err == nil && o.Field == "" && o.Engine == paper.SemanticScholar && strings.HasPrefix(o.Record, "CorpusId:") { // abstracts come apart
			_, err = w.exec(ctx, `INSERT OR REPLACE INTO record(name, paper) VALUES(?,?)`, o.Engine+":"+o.Record, row)
		}
	}
	return err
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
