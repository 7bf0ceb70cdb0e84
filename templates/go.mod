module nullius.dev/templates

go 1.26.0
