// Package scrub takes the values of secrets out of what a runner says.
//
// A tool may print the password it was given, and print it in its own way. So
// a value is looked for as it is, line by line where it has several, as JSON,
// shell quoting and a URL spell it, in hexadecimal, and within base64 at each of
// the three places where it can begin, over the lines that base64(1) and
// xxd(1) break it into.
package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Shown stands where a secret stood.
const Shown = "(sensitive)"

// shortest is the length below which a value is not looked for: it would be
// found in every other word.
const shortest = 3

// A Scrubber knows secrets. The zero value knows none. It may be used from
// several goroutines.
type Scrubber struct {
	mu       sync.Mutex
	known    map[string]bool
	replacer atomic.Pointer[strings.Replacer]
}

// Add makes values known.
func (s *Scrubber) Add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grown := false
	for _, v := range values {
		for _, form := range forms(v) {
			if !s.known[form] {
				if s.known == nil {
					s.known = map[string]bool{}
				}
				s.known[form], grown = true, true
			}
		}
	}
	if !grown {
		return
	}
	all := make([]string, 0, len(s.known))
	for form := range s.known {
		all = append(all, form)
	}
	// Of two that match at one place the longer must win.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(all))
	for _, form := range all {
		pairs = append(pairs, form, Shown)
	}
	s.replacer.Store(strings.NewReplacer(pairs...))
}

// forms are the spellings of a value.
func forms(v string) []string {
	if len(v) < shortest {
		return nil
	}
	plain := []string{v}
	for l := range strings.Lines(v) {
		if l = strings.TrimSpace(l); len(l) >= 8 && l != v {
			plain = append(plain, l)
		}
	}
	all := slices.Clone(plain)
	for _, p := range plain {
		all = append(all, quoted(p)...)
		all = append(all, strings.ReplaceAll(p, `'`, `'\''`), url.QueryEscape(p), url.PathEscape(p))
	}
	if len(v) >= 6 {
		digits := hex.EncodeToString([]byte(v))
		all = append(all, digits, strings.ToUpper(digits))
		all = append(all, encoded(base64.RawStdEncoding, v)...)
		all = append(all, encoded(base64.RawURLEncoding, v)...)
	}
	return all
}

// quoted is v within a JSON string, with and without Go's escapes for HTML.
func quoted(v string) []string {
	escaped, err := json.Marshal(v)
	if err != nil {
		panic("scrub: a string that is no JSON: " + err.Error())
	}
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("scrub: a string that is no JSON: " + err.Error())
	}
	bare := bytes.TrimSuffix(plain.Bytes(), []byte("\n"))
	return []string{string(escaped[1 : len(escaped)-1]), string(bare[1 : len(bare)-1])}
}

// encoded are the characters of base64 that v alone decides, for each place
// within three bytes where it can begin.
func encoded(e *base64.Encoding, v string) []string {
	var all []string
	for before := range 3 {
		text := e.EncodeToString(append(make([]byte, before), v...))
		first := (before*8 + 5) / 6
		last := (before + len(v)) * 8 / 6
		all = append(all, text[first:last])
	}
	return all
}

// Text returns text without the secrets.
func (s *Scrubber) Text(text string) string {
	r := s.replacer.Load()
	if r == nil {
		return text
	}
	text = r.Replace(text)
	if !strings.Contains(text, "\n") {
		return text
	}
	return unwrapped(text, r)
}

// codeLine is the length from which a line without blanks may be one of
// several that encode something. The tools break theirs at 60, 64 or 76.
const codeLine = 40

// unwrapped looks once more where lines look like code that was broken up: for
// what stands on two of them. A block that has a secret becomes one line.
func unwrapped(text string, r *strings.Replacer) string {
	lines := strings.Split(text, "\n")
	out := lines[:0]
	for i := 0; i < len(lines); {
		end := i
		for end < len(lines)-1 && len(lines[end]) >= codeLine && isCode(lines[end]) && isCode(lines[end+1]) {
			end++
		}
		block := strings.Join(trimmed(lines[i:end+1]), "")
		if clean := r.Replace(block); end > i && clean != block {
			out = append(out, clean)
		} else {
			out = append(out, lines[i:end+1]...)
		}
		i = end + 1
	}
	return strings.Join(out, "\n")
}

func trimmed(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimSpace(l)
	}
	return out
}

// isCode says whether a line is made of what base64 and hexadecimal are made
// of, and of what already stands for a secret.
func isCode(line string) bool {
	line = strings.ReplaceAll(strings.TrimSpace(line), Shown, "")
	return !strings.ContainsFunc(line, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("+/=-_", c)
	})
}

// JSON returns a JSON value without the secrets: they are taken out of its
// strings, and a number or a key that is one becomes a string.
func (s *Scrubber) JSON(raw json.RawMessage) json.RawMessage {
	r := s.replacer.Load()
	if r == nil || len(raw) == 0 {
		return raw
	}
	if text := string(raw); r.Replace(text) == text {
		return raw
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return quotedShown()
	}
	clean, err := json.Marshal(s.value(v))
	if err != nil {
		return quotedShown()
	}
	return clean
}

func quotedShown() json.RawMessage { return json.RawMessage(`"` + Shown + `"`) }

func (s *Scrubber) value(v any) any {
	switch v := v.(type) {
	case string:
		return s.Text(v)
	case json.Number:
		if clean := s.Text(v.String()); clean != v.String() {
			return clean
		}
		return v
	case []any:
		for i := range v {
			v[i] = s.value(v[i])
		}
		return v
	case map[string]any:
		clean := make(map[string]any, len(v))
		for k, e := range v {
			clean[s.Text(k)] = s.value(e)
		}
		return clean
	}
	return v
}
