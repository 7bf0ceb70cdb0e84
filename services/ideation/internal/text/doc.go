// Package text turns what people, models and engines write into forms that can be compared: LaTeX into plain Unicode, plain
// Unicode into folded words. Every function takes any bytes and ends.
package text
