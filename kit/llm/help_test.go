package llm_test

import "nullius.dev/kit/llm/budget"

func amount(pico, tokens int64) budget.Amount { return budget.Amount{Pico: pico, Tokens: tokens} }
