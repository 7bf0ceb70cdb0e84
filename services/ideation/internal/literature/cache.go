package literature

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"nullius.dev/services/ideation/internal/limit"
)

// Ages up to which an answer is taken from the cache.
const (
	searchAge  = 7 * 24 * time.Hour
	resolveAge = 90 * 24 * time.Hour
	nothingAge = 24 * time.Hour
	cachePages = 256 << 20 / 4096
)

// Cache keeps engines' answers in one SQLite file. It is only ever a help: its errors are swallowed, its loss costs time.
type Cache struct {
	db *sql.DB
}

// OpenCache opens the file in a folder; one that is damaged is set aside. An empty folder keeps the answers in memory.
func OpenCache(ctx context.Context, dir string) (*Cache, error) {
	if dir == "" {
		return openCache(ctx, ":memory:", 1)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "literature.sqlite")
	dsn := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"
	c, err := openCache(ctx, dsn, 4)
	if err == nil || ctx.Err() != nil {
		return c, err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if e := os.Rename(path+suffix, path+suffix+".damaged"); e != nil && !errors.Is(e, os.ErrNotExist) {
			return nil, errors.Join(err, e)
		}
	}
	return openCache(ctx, dsn, 4)
}

func openCache(ctx context.Context, dsn string, conns int) (*Cache, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS answer(method TEXT, digest TEXT, engine TEXT, at INTEGER, is_empty INTEGER, body BLOB,
		PRIMARY KEY(method, digest, engine)) WITHOUT ROWID; CREATE INDEX IF NOT EXISTS answer_at ON answer(at);`)
	if err == nil {
		var verdict string
		if err = db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err == nil && verdict != "ok" {
			err = errors.New("literature cache: " + verdict)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Cache{db: db}, nil
}

// Rates keeps what processes agree on about engines in the same file; a cache in memory limits this process alone.
func (c *Cache) Rates(ctx context.Context) (limit.Store, error) { return limit.SQL(ctx, c.db) }

// Close closes the file.
func (c *Cache) Close() error { return c.db.Close() }

type hit struct {
	body []byte
	at   time.Time
}

// mark says of answers that they are from the cache, and how old.
func (h hit) mark(asked []Asked) []Asked {
	for i := range asked {
		asked[i].Cached, asked[i].AsOf, asked[i].CostUSD = true, h.at.UTC(), ""
	}
	return asked
}

func (b *Broker) fromCache(ctx context.Context, e Engine, method, digest string, maxAge time.Duration) (hit, bool) {
	if b.Cache == nil || !e.Online() {
		return hit{}, false
	}
	var at int64
	var nothing bool
	var h hit
	err := b.Cache.db.QueryRowContext(ctx, `SELECT at, is_empty, body FROM answer WHERE method = ? AND digest = ? AND engine = ?`, method, digest, e.Name()).
		Scan(&at, &nothing, &h.body)
	if err != nil {
		return hit{}, false
	}
	limit := searchAge
	if method == "resolve" {
		limit = resolveAge
	}
	if maxAge > 0 {
		limit = maxAge
	}
	if nothing {
		limit = min(limit, nothingAge)
	}
	h.at = time.Unix(at, 0)
	age := b.Now().Sub(h.at)
	return h, age >= 0 && age < limit
}

func (b *Broker) toCache(ctx context.Context, e Engine, method, digest string, nothing bool, v any) {
	if b.Cache == nil || !e.Online() || ctx.Err() != nil {
		return
	}
	body, err := json.Marshal(v)
	if err != nil {
		return
	}
	db := b.Cache.db
	if _, err := db.ExecContext(ctx, `INSERT OR REPLACE INTO answer VALUES(?,?,?,?,?,?)`, method, digest, e.Name(), b.Now().Unix(), nothing, body); err != nil {
		return
	}
	var pages, free int64
	if db.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages) != nil || db.QueryRowContext(ctx, `PRAGMA freelist_count`).Scan(&free) != nil {
		return
	}
	if pages-free > cachePages {
		_, _ = db.ExecContext(ctx, `DELETE FROM answer WHERE at <= (SELECT at FROM answer ORDER BY at LIMIT 1 OFFSET (SELECT count(*)/4 FROM answer))`) // next write tries again
	}
}
