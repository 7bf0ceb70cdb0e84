package openalex

// Decode reads an answer in both forms.
func Decode(body []byte) {
	_, _, _ = decode(body, false)
	_, _, _ = decode(body, true)
}
