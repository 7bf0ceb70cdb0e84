package tex

import _ "embed"

// DefaultArticle is the paper's frame where a template brings none.
//
//go:embed article.tex
var DefaultArticle string
