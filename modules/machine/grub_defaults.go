package machine

import (
	"fmt"
	"regexp"
	"strings"
)

// The variables of /etc/default/grub that hold arguments. grub-mkconfig puts
// the first on every line of a kernel, and the second behind it on all but
// those of recovery entries (GRUB manual, "Simple configuration handling").
const (
	everyEntry   = "GRUB_CMDLINE_LINUX"
	normalEntry  = "GRUB_CMDLINE_LINUX_DEFAULT"
	defaultsFile = "/etc/default/grub"
	defaultsDir  = "/etc/default/grub.d"
)

// assignment is one statement of a shell that sets one of the two variables.
type assignment struct {
	name string
	plus bool // +=
	line int  // from 1
	// The statement is text[from:to]; what it assigns, quotes included, is
	// text[rhs:to].
	from, rhs, to int
	value         string // unquoted; references as [reference] has them
}

// refusal is something in a file that cannot be edited safely.
type refusal struct {
	file string
	line int
	what string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("%s:%d: %s, which cannot be edited safely; write it as one assignment of its own in quotes, like %s=\"quiet\"", e.file, e.line, e.what, normalEntry)
}

var (
	assigns  = regexp.MustCompile(`^[ \t]*(?:export[ \t]+)?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)(\+?=)`)
	mentions = regexp.MustCompile(`(^|[^A-Za-z0-9_])GRUB_CMDLINE_LINUX(_DEFAULT)?([^A-Za-z0-9_]|$)`)
	reads    = regexp.MustCompile(`\$(\{GRUB_CMDLINE_LINUX(_DEFAULT)?\}|GRUB_CMDLINE_LINUX(_DEFAULT)?\b)`)
	opens    = regexp.MustCompile(`^[ \t]*(if|for|while|until|case|\{|[A-Za-z_][A-Za-z0-9_]*[ \t]*\(\))([ \t]|$)`)
	closes   = regexp.MustCompile(`^[ \t]*(fi|done|esac|\})([ \t;]|$)`)
)

// assignments finds where a file of shell variables sets the two. The error is
// a [*refusal] where it does so in a way that is more than an assignment.
func assignments(file, text string) ([]assignment, error) {
	var found []assignment
	depth, line := 0, 0
	for at := 0; at < len(text); {
		line++
		end := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		here := strings.TrimSuffix(text[at:end], "\n")
		code := here
		if i := commentAt(here); i >= 0 {
			code = here[:i]
		}
		if closes.MatchString(code) && depth > 0 {
			depth--
		}
		m := assigns.FindStringSubmatchIndex(code)
		switch {
		case m == nil && mentions.MatchString(reads.ReplaceAllString(code, "")):
			return nil, &refusal{file, line, "this changes " + everyEntry + " by more than an assignment"}
		case m != nil && depth > 0:
			return nil, &refusal{file, line, here[m[2]:m[3]] + " is set only under a condition"}
		case m != nil:
			a := assignment{name: here[m[2]:m[3]], plus: here[m[4]:m[5]] == "+=", line: line, from: at, rhs: at + m[1], to: at + len(strings.TrimRight(code, " \t\r"))}
			if what := a.read(text[a.rhs:a.to]); what != "" {
				return nil, &refusal{file, line, what}
			}
			found = append(found, a)
		case opens.MatchString(code) && !strings.Contains(code, "; fi") && !strings.Contains(code, "; done"):
			depth++
		}
		at = end
	}
	return found, nil
}

// commentAt is where a comment begins in a line of shell, or -1.
func commentAt(line string) int {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#' && (i == 0 || blank(line[i-1]) || line[i-1] == ';'):
			return i
		}
	}
	return -1
}

// read takes the value of what is assigned. It says what is wrong with it.
func (a *assignment) read(rhs string) (wrong string) {
	if rhs == "" {
		return ""
	}
	quote := rhs[0]
	switch {
	case quote != '"' && quote != '\'':
		if strings.IndexFunc(rhs, func(r rune) bool { return strings.ContainsRune(" \t\\$`\"'();&|<>*?[]{}~#", r) }) >= 0 {
			return a.name + " is set without quotes to more than a plain word"
		}
		a.value = rhs
		return ""
	case len(rhs) < 2 || rhs[len(rhs)-1] != quote:
		return a.name + " is set to more than one quoted text in a line"
	}
	inner := rhs[1 : len(rhs)-1]
	if quote == '\'' {
		if strings.Contains(inner, "'") {
			return a.name + " is set to several quoted texts in a row"
		}
		a.value = inner
		return ""
	}
	value, ok := decodeShell(inner)
	if !ok {
		return a.name + " is set to a text with a command or another variable in it"
	}
	a.value = value
	return ""
}

// decodeShell takes the backslashes out of what stands between double quotes
// of a shell. A reference to one of the two variables becomes a word of its
// own; anything else that the shell would expand is not ok.
func decodeShell(inner string) (value string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; c {
		case '"', '`', 0:
			return "", false
		case '$':
			m := reads.FindString(inner[i:])
			if m == "" || !strings.HasPrefix(inner[i:], m) {
				return "", false
			}
			b.WriteString(reference(m))
			i += len(m) - 1
		case '\\':
			if i+1 == len(inner) {
				return "", false
			}
			if strings.IndexByte("$`\"\\", inner[i+1]) >= 0 {
				i++
			}
			b.WriteByte(inner[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// reference stands for what a shell puts in the place of a variable: ${NAME} or
// $NAME. No file holds byte 0.
func reference(spelled string) string { return "\x00" + spelled + "\x00" }

// expanded puts values in the place of references.
func expanded(text string, value map[string]string) string {
	for _, name := range []string{everyEntry, normalEntry} {
		for _, spelled := range []string{"$" + name, "${" + name + "}"} {
			text = strings.ReplaceAll(text, reference(spelled), value[name])
		}
	}
	return text
}

// encodeShell is the other way round.
func encodeShell(value string, quote byte) (string, bool) {
	if quote == '\'' {
		return value, !strings.ContainsAny(value, "'\x00")
	}
	parts := strings.Split(value, "\x00")
	var b strings.Builder
	for i, part := range parts {
		if i%2 == 1 {
			b.WriteString(part)
			continue
		}
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(part))
	}
	return b.String(), true
}

// splitValue splits the value of an assignment, in which a reference is a word
// that is not known.
func splitValue(value string) []span {
	words := grubWords(value)
	for i := range words {
		words[i].opaque = words[i].opaque || strings.ContainsRune(value[words[i].from:words[i].to], 0)
	}
	return words
}

var valueScript = script{splitValue, forGRUB}

// shellFragments are the values of the assignments of a file.
func shellFragments(file, text string) ([]fragment, error) {
	found, err := assignments(file, text)
	if err != nil {
		return nil, err
	}
	fragments := make([]fragment, len(found))
	for i, a := range found {
		quote := byte('"')
		if a.rhs < a.to && text[a.rhs] == '\'' {
			quote = '\''
		}
		fragments[i] = fragment{name: a.name, from: a.rhs, to: a.to, value: a.value, script: valueScript, write: func(value string) (string, error) {
			inner, ok := encodeShell(value, quote)
			if !ok {
				return "", &refusal{file, a.line, a.name + " is set between single quotes, and an argument holds one"}
			}
			return string(quote) + inner + string(quote), nil
		}}
	}
	return fragments, nil
}

// evaluated is what the two variables hold after all files were read, and the
// file in which each was set last.
func evaluated(files []store) (value map[string]string, last map[string]int, err error) {
	value, last = map[string]string{}, map[string]int{}
	for i, f := range files {
		if f.Format != shellVariables {
			continue
		}
		found, err := assignments(f.Path, f.Text)
		if err != nil {
			return nil, nil, err
		}
		for _, a := range found {
			text := expanded(a.value, value)
			if a.plus {
				text = value[a.name] + text
			}
			value[a.name], last[a.name] = text, i
		}
	}
	return value, last, nil
}

// appendAssignment adds a line to a file that has none for a variable.
func appendAssignment(text, name string, args []argument) string {
	inner, _ := encodeShell(valueScript.add("", args), '"')
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + name + `="` + inner + "\"\n"
}
