// Package writer turns the record of an idea into a paper in which every number leads to the run that measured it.
//
// A model writes LaTeX with references such as \measured{run_2/seir/peak_day}; it never types what was measured. The text lies in
// latex/source.tex; rendering replaces the references by digits and gives latex/template.tex, which is compiled in the sandbox by a pass loop of our
// own. What a model does wrong is mended by code where that needs no understanding (internal/check), else sent back with candidates, and what is
// still there at the end is marked in the PDF and listed in verification.json. A paper always exists: a section that TeX cannot take becomes a
// framed placeholder.
//
// The pure parts are internal/tex (spans, paragraphs), internal/numbers (references, rendering, typed numbers), internal/check (findings and
// mends), internal/bib, internal/figure, internal/compile (passes and log) and internal/diff. The files of this package are the order of work:
// prepare, outline, cite, draft, mend, finish, revise.
package writer
