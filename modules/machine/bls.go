package machine

import (
	"strings"
)

// An entry of the Boot Loader Specification is a file of lines "key value"
// (uapi-group.org/specifications). GRUB of the Red Hat family reads them by
// blscfg, and lets an options line be a variable of the environment block.
const blsDir = "/boot/loader/entries"

// optionsFragments are what stands behind "options" in an entry.
func optionsFragments(text string) []fragment {
	var fragments []fragment
	at := 0
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutPrefix(body, "options"); ok && (rest == "" || blank(rest[0])) {
			value := strings.TrimLeft(rest, " \t")
			from := at + len(body) - len(value)
			fragments = append(fragments, fragment{
				name: "options", from: from, to: at + len(body), value: value, script: blsScript,
				write: func(v string) (string, error) {
					if rest == "" && v != "" {
						return " " + v, nil
					}
					return v, nil
				},
			})
		}
		at += len(line)
	}
	return fragments
}

// blsField is the value of a key of an entry.
func blsField(text, key string) string {
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// withField is an entry with another value of a key; the line is added where
// there is none.
func withField(text, key, value string) string {
	var b strings.Builder
	done := false
	for line := range strings.Lines(text) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			if !done {
				b.WriteString(key + " " + value + "\n")
			}
			done = true
			continue
		}
		b.WriteString(line)
	}
	if !done {
		b.WriteString(key + " " + value + "\n")
	}
	return b.String()
}

// blsWords splits an options line: as the kernel does, and a word that begins
// with $ is a variable.
func blsWords(text string) []span {
	words := kernelWords(text)
	for i, w := range words {
		words[i].opaque = strings.HasPrefix(string(w.argument), "$")
	}
	return words
}

var blsScript = script{blsWords, forKernel}
