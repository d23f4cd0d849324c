package netconf

import "strings"

// shell is how network-scripts write: assignments that a shell sources, and
// that NetworkManager's plugin ifcfg-rh reads. A value may be quoted in part.
type shell struct{}

func (shell) entry(text string) entry {
	raw := firstLine(text)
	line := strings.TrimLeft(raw, " \t")
	key, _, ok := strings.Cut(line, "=")
	if !ok || !variable(key) {
		return entry{raw: raw}
	}
	at := len(raw) - len(line) + len(key) + 1
	value, used, _ := word(text[at:])
	end := at + used
	if rest := firstLine(text[end:]); rest != "" {
		end += len(rest) // a comment, or what a shell would run: it stays with its line
	}
	return entry{raw: text[:end], key: key, value: value}
}

func (shell) line(key, value string) string {
	if value != "" && strings.Trim(value, wordCharacters+".:/,=+@%-") == "" {
		return key + "=" + value + "\n"
	}
	if !strings.ContainsAny(value, "\"\\$`") {
		return key + `="` + value + "\"\n"
	}
	return key + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n"
}

const wordCharacters = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func variable(s string) bool {
	return s != "" && strings.Trim(s, wordCharacters) == "" && !strings.ContainsAny(s[:1], "0123456789")
}

// unclosed says whether a file ends within quotes: what comes after it would be
// part of them.
func unclosed(content string) bool {
	k := parseKeys(shell{}, content)
	if len(k.entries) == 0 {
		return false
	}
	last := k.entries[len(k.entries)-1]
	if last.key == "" {
		return false
	}
	_, value, _ := strings.Cut(last.raw, "=")
	_, _, open := word(value)
	return open
}

// word reads a word of sh(1) without expanding it, and returns its value, how
// many bytes it takes, and whether a quote is open at the end.
func word(text string) (value string, used int, open bool) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == 0 && strings.IndexByte(" \t\n;", c) >= 0:
			return b.String(), i, false
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote && c != 0:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			switch next := text[i]; {
			case next == '\n':
			case quote == '"' && strings.IndexByte("\"\\$`", next) < 0:
				b.WriteByte('\\')
				b.WriteByte(next)
			default:
				b.WriteByte(next)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), len(text), quote != 0 || strings.HasSuffix(text, `\`)
}
