package writer_test

import (
	"context"
	"strings"

	"nullius.dev/services/writer"
)

// library is a literature service that knows two papers.
type library struct{}

func (library) Search(_ context.Context, _, _, _, query string, _ int) (writer.Asked, error) {
	p := writer.Paper{ID: "doi:10.5555/1", Key: "doe2020", Title: "An Account of the Peak in Linear Regression", Authors: []string{"Jane Doe"}, Year: 2020,
		Abstract: "We study the peak of the error in linear regression and give a formula for it.",
		BibTeX:   "@article{doe2020,\n  title = {An Account of the Peak in Linear Regression},\n  author = {Doe, Jane},\n  journal = {Journal of Regression},\n  year = {2020}\n}\n"}
	if strings.Contains(query, "ridge") {
		p = writer.Paper{ID: "doi:10.5555/2", Key: "roe1970", Title: "Ridge Estimation for Nonorthogonal Problems", Authors: []string{"R. Roe"}, Year: 1970,
			BibTeX: "@article{roe1970,\n  title = {Ridge Estimation for Nonorthogonal Problems},\n  author = {Roe, R.},\n  journal = {Methods},\n  year = {1970}\n}\n"}
	}
	return writer.Asked{Papers: []writer.Paper{p}, Engine: "local"}, nil
}

func (library) Resolve(context.Context, string, string, string, string) (writer.Resolved, error) {
	return writer.Resolved{Outcome: "UNAVAILABLE"}, nil
}
