package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// hideKey takes a key out of an answer that echoes it: titles and abstracts are kept and shown.
func hideKey(body []byte, key string) []byte {
	if len(key) < 6 { // too short to tell from other text
		return body
	}
	return bytes.ReplaceAll(body, []byte(key), []byte("***"))
}

// readable is an answer in UTF-8 without a byte order mark, whatever it came in: UTF-16 by its mark, and Latin-1 where it is no UTF-8.
func readable(body []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		body = body[3:]
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		order = binary.BigEndian
	}
	if order != nil {
		var units []uint16
		for b := body[2:]; len(b) >= 2; b = b[2:] {
			units = append(units, order.Uint16(b))
		}
		return []byte(string(utf16.Decode(units)))
	}
	if utf8.Valid(body) {
		return body
	}
	runes := make([]rune, len(body))
	for i, b := range body {
		runes[i] = rune(b)
	}
	return []byte(string(runes))
}

// Record reads a JSON object into a struct. A field of another kind than it should be is left out: a paper is not lost for its number of citations.
func Record(raw []byte, into any) bool {
	err := json.Unmarshal(raw, into)
	kind := (*json.UnmarshalTypeError)(nil)
	return err == nil || errors.As(err, &kind) && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{"))
}
