package machine

import (
	"slices"
	"strings"
)

// argument is one parameter of the kernel: "quiet", "hugepagesz=1G". Its text
// is without quotes.
type argument string

// key is the parameter's name. The kernel takes - and _ in it for the same
// (kernel-parameters.txt).
func (a argument) key() string {
	name, _, _ := strings.Cut(string(a), "=")
	return strings.ReplaceAll(name, "-", "_")
}

// canonical is the same for two arguments that the kernel cannot tell apart.
func (a argument) canonical() string {
	_, value, ok := strings.Cut(string(a), "=")
	if !ok {
		return a.key()
	}
	return a.key() + "=" + value
}

func same(a, b []argument) bool {
	return slices.EqualFunc(a, b, func(x, y argument) bool { return x.canonical() == y.canonical() })
}

// span is a word of a text: text[from:to], and what it means.
type span struct {
	from, to int
	argument argument
	opaque   bool // it holds a variable that is not known here
}

// endOfKernel ends what is the kernel's: what follows belongs to init.
const endOfKernel = argument("--")

// kernelWords splits a command line as the kernel does (next_arg in
// lib/cmdline.c): blanks separate, unless they are between double quotes.
func kernelWords(line string) []span {
	var words []span
	for i := 0; i < len(line); {
		if blank(line[i]) {
			i++
			continue
		}
		from, quoted := i, false
		for i < len(line) && (quoted || !blank(line[i])) {
			quoted = quoted != (line[i] == '"')
			i++
		}
		words = append(words, span{from: from, to: i, argument: argument(strings.ReplaceAll(line[from:i], `"`, ""))})
	}
	return words
}

func blank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'
}

// forKernel writes an argument as the kernel reads it.
func forKernel(a argument) string {
	if !strings.ContainsAny(string(a), " \t") {
		return string(a)
	}
	name, value, _ := strings.Cut(string(a), "=")
	return name + `="` + value + `"`
}

// kernelPart are the words in front of "--".
func kernelPart(words []span) []span {
	if i := slices.IndexFunc(words, func(w span) bool { return w.argument == endOfKernel && !w.opaque }); i >= 0 {
		return words[:i]
	}
	return words
}

// request is what is asked of a command line: a sequence of arguments, and
// arguments that must not be there.
type request struct {
	Args   []argument `json:"args,omitzero"`
	Absent []argument `json:"absent,omitzero"`
}

// inArgs says whether an argument is replaced by the sequence.
func (r request) inArgs(a argument) bool {
	return slices.ContainsFunc(r.Args, func(o argument) bool { return o.key() == a.key() })
}

// inAbsent says whether an argument must go.
func (r request) inAbsent(a argument) bool {
	return !r.inArgs(a) && slices.ContainsFunc(r.Absent, func(o argument) bool {
		return o.canonical() == a.canonical() || !strings.Contains(string(o), "=") && o.key() == a.key()
	})
}

func (r request) manages(a argument) bool { return r.inArgs(a) || r.inAbsent(a) }

// keys are the names that the request is about.
func (r request) keys() []string {
	var keys []string
	for _, a := range slices.Concat(r.Args, r.Absent) {
		if !slices.Contains(keys, a.key()) {
			keys = append(keys, a.key())
		}
	}
	slices.Sort(keys)
	return keys
}

// holding is what a command line has of a request's arguments.
type holding struct {
	Args   []argument `json:"args,omitzero"`
	Absent []argument `json:"absent,omitzero"`
}

// of picks what a request is about from the words of a command line.
func (r request) of(words []span) holding {
	var h holding
	for _, w := range kernelPart(words) {
		switch {
		case w.opaque:
		case r.inArgs(w.argument):
			h.Args = append(h.Args, w.argument)
		case r.inAbsent(w.argument):
			h.Absent = append(h.Absent, w.argument)
		}
	}
	return h
}

func (h holding) equal(o holding) bool { return same(h.Args, o.Args) && same(h.Absent, o.Absent) }

// settles says whether a command line is as it is asked for.
func (r request) settles(h holding) bool { return h.equal(holding{Args: r.Args}) }

// cutOut removes words from a text, each with the blanks in front of it, or
// behind it where it is the first.
func cutOut(text string, words []span, gone func(span) bool) string {
	var b strings.Builder
	at := 0
	for _, w := range words {
		if !gone(w) {
			continue
		}
		from, to := w.from, w.to
		for from > at && blank(text[from-1]) {
			from--
		}
		if from == 0 || from == at && b.Len() == 0 {
			for to < len(text) && blank(text[to]) {
				to++
			}
		}
		b.WriteString(text[at:from])
		at = to
	}
	b.WriteString(text[at:])
	return b.String()
}

// A script is a notation of command lines: how words are split, and how an
// argument is written.
type script struct {
	split func(string) []span
	write func(argument) string
}

var (
	kernelScript = script{kernelWords, forKernel}
	grubScript   = script{grubWords, forGRUB}
)

// edit returns the text without what the request manages and with its sequence
// at the end, in front of "--". What else is in the text stays as it is.
func (s script) edit(text string, r request) string {
	managed := kernelPart(s.split(text))
	rest := cutOut(text, managed, func(w span) bool { return !w.opaque && r.manages(w.argument) })
	return s.add(rest, r.Args)
}

// add puts arguments at the end, in front of "--".
func (s script) add(text string, args []argument) string {
	if len(args) == 0 {
		return text
	}
	written := make([]string, len(args))
	for i, a := range args {
		written[i] = s.write(a)
	}
	more := strings.Join(written, " ")
	words := s.split(text)
	if mine := kernelPart(words); len(mine) < len(words) {
		at := words[len(mine)].from
		return text[:at] + more + " " + text[at:]
	}
	body := strings.TrimRight(text, " \t\r\n")
	if body == "" {
		return more
	}
	return body + " " + more + text[len(body):]
}
