package machine

import (
	"regexp"
	"strings"
)

// grubWords splits a command of GRUB's script into words, as its lexer does
// (GRUB manual, "Writing full configuration files directly"): blanks separate,
// a backslash, '…' and "…" quote, $name is a variable, a # at the beginning of
// a word begins a comment. It stops where the command ends.
func grubWords(text string) []span {
	l := grubLexer{text: text}
	var words []span
	for {
		w, kind := l.next()
		if kind != grubWord {
			return words
		}
		words = append(words, w)
	}
}

// grubToken is what the lexer found.
type grubToken int

const (
	grubEnd     grubToken = iota // of the text
	grubNewline                  // or ;
	grubWord
)

type grubLexer struct {
	text string
	at   int
}

// next returns the next word, or what is between two commands.
func (l *grubLexer) next() (span, grubToken) {
	for l.at < len(l.text) {
		c := l.text[l.at]
		switch {
		case c == '\n' || c == ';' || c == '&' || c == '|' || c == '<' || c == '>':
			l.at++
			return span{from: l.at - 1, to: l.at}, grubNewline
		case blank(c):
			l.at++
		case c == '\\' && strings.HasPrefix(l.text[l.at:], "\\\n"):
			l.at += 2
		case c == '#':
			for l.at < len(l.text) && l.text[l.at] != '\n' {
				l.at++
			}
		default:
			return l.word(), grubWord
		}
	}
	return span{from: l.at, to: l.at}, grubEnd
}

func (l *grubLexer) word() span {
	w := span{from: l.at}
	var b strings.Builder
	quote := byte(0)
	for l.at < len(l.text) {
		c := l.text[l.at]
		if quote == 0 && (blank(c) || strings.IndexByte(";&|<>", c) >= 0) {
			break
		}
		switch {
		case quote == '\'':
			if c == quote {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case c == '\\' && l.at+1 < len(l.text) && (quote == 0 || strings.IndexByte("$\"\\\n", l.text[l.at+1]) >= 0):
			l.at++
			if l.text[l.at] != '\n' {
				b.WriteByte(l.text[l.at])
			}
		case c == '"' || c == '\'' && quote == 0:
			if quote == 0 {
				quote = c
			} else {
				quote = 0
			}
		case c == '$' && l.variable():
			w.opaque = true
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
		l.at++
	}
	w.to, w.argument = l.at, argument(b.String())
	return w
}

// variable says whether the $ that the lexer stands on begins one.
func (l *grubLexer) variable() bool {
	if l.at+1 >= len(l.text) {
		return false
	}
	c := l.text[l.at+1]
	return c == '{' || c == '_' || c == '?' || c == '@' || c == '*' || c == '#' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// plainForGRUB are values in which GRUB's lexer sees nothing but letters.
var plainForGRUB = regexp.MustCompile(`^[A-Za-z0-9_.,:/@%+=~^!-]*$`)

// forGRUB writes an argument as a word of GRUB's script.
func forGRUB(a argument) string {
	name, value, ok := strings.Cut(string(a), "=")
	if !ok || plainForGRUB.MatchString(value) {
		return string(a)
	}
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(value) + `"`
}
