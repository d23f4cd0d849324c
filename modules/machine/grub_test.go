package machine

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func words(spans []span) []string {
	var out []string
	for _, w := range spans {
		text := string(w.argument)
		if w.opaque {
			text = "?" + text
		}
		out = append(out, text)
	}
	return out
}

func TestGRUBWords(t *testing.T) {
	for text, want := range map[string][]string{
		`linux /boot/vmlinuz root=UUID=1 ro  quiet`:   {"linux", "/boot/vmlinuz", "root=UUID=1", "ro", "quiet"},
		`quiet splash $vt_handoff`:                    {"quiet", "splash", "?$vt_handoff"},
		`dyndbg="file a b +p" x='y z' memmap=64G\$4G`: {"dyndbg=file a b +p", "x=y z", "memmap=64G$4G"},
		`a "b\"c\$d\e" # a comment`:                   {"a", `b"c$d\e`},
		`a#b "#c"`:                                    {"a#b", "#c"},
		"one; two":                                    {"one"},
		"one\ntwo":                                    {"one"},
		"one\\\n two":                                 {"one", "two"},
		`"${x}y"`:                                     {"?${x}y"},
		`memmap=64G$4G`:                               {"?memmap=64G$4G"}, // GRUB takes $4 for a variable, too
		``:                                            nil,
	} {
		if got := words(grubWords(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestForGRUB(t *testing.T) {
	for _, a := range []argument{"quiet", "a=b", "dyndbg=file x* +p", "memmap=64G$4G", "isolcpus=managed_irq,domain,2-3", "a=x;y", "a={b}", "a="} {
		got := grubWords(forGRUB(a))
		if len(got) != 1 || got[0].argument != a || got[0].opaque {
			t.Errorf("%s is written %s, which is read %q", a, forGRUB(a), words(got))
		}
	}
}

func TestAssignments(t *testing.T) {
	for _, c := range []struct{ text, want, refused string }{
		{text: "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=''", want: " quiet splash"},
		{text: "GRUB_CMDLINE_LINUX=a\nGRUB_CMDLINE_LINUX_DEFAULT=b # why\n", want: "a b"},
		{text: "# GRUB_CMDLINE_LINUX=\"x\"\n", want: " "},
		{text: "export GRUB_CMDLINE_LINUX=\"a\"\n  GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX b\"\n", want: "a a b"},
		{text: "GRUB_CMDLINE_LINUX=\"a\"\nGRUB_CMDLINE_LINUX+=\" b\"\nGRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX} c\"", want: "a b c "},
		{text: "GRUB_CMDLINE_LINUX=\"dyndbg=\\\"file x +p\\\" memmap=64G\\\\\\$4G\"\n", want: `dyndbg="file x +p" memmap=64G\$4G `},
		{text: "GRUB_CMDLINE_LINUX_RECOVERY=\"single $GRUB_CMDLINE_LINUX\"\nGRUB_CMDLINE_XEN=x\n", want: " "},
		{text: "if [ -f x ]; then\n  echo\nfi\nGRUB_CMDLINE_LINUX=\"a\"\n", want: "a "},

		{text: "\nGRUB_CMDLINE_LINUX=\"$(cat x)\"", refused: "f:2: GRUB_CMDLINE_LINUX is set to a text with a command"},
		{text: "GRUB_CMDLINE_LINUX=\"$EXTRA\"", refused: "another variable"},
		{text: "GRUB_CMDLINE_LINUX=\"`x`\"", refused: "command"},
		{text: "GRUB_CMDLINE_LINUX=\"a\" GRUB_TIMEOUT=\"1\"", refused: "f:1"},
		{text: "GRUB_CMDLINE_LINUX=\"a\nb\"", refused: "more than one quoted text"},
		{text: "GRUB_CMDLINE_LINUX=a\\ b", refused: "without quotes"},
		{text: "GRUB_CMDLINE_LINUX='a'\\''b'", refused: "several quoted"},
		{text: "if [ -f x ]; then\n  GRUB_CMDLINE_LINUX=\"a\"\nfi", refused: "f:2: GRUB_CMDLINE_LINUX is set only under a condition"},
		{text: "[ -f x ] && GRUB_CMDLINE_LINUX=\"a\"", refused: "more than an assignment"},
		{text: "unset GRUB_CMDLINE_LINUX", refused: "more than an assignment"},
	} {
		value, _, err := evaluated([]store{{Path: "f", Text: c.text, Format: shellVariables}})
		if c.refused != "" {
			var r *refusal
			if !errors.As(err, &r) || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%q: %v, want a refusal with %q", c.text, err, c.refused)
			}
			continue
		}
		if got := value[everyEntry] + " " + value[normalEntry]; got != c.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", c.text, got, err, c.want)
		}
	}
}

func ask(args, absent string) request {
	var r request
	for _, a := range strings.Fields(args) {
		r.Args = append(r.Args, argument(a))
	}
	for _, a := range strings.Fields(absent) {
		r.Absent = append(r.Absent, argument(a))
	}
	return r
}

func TestEditDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		args, absent string
		files, want  []string
	}{
		"added": {
			args:  "iommu=pt intel_iommu=on",
			files: []string{"# head\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash \" # tail\n\nGRUB_TIMEOUT=5"},
			want:  []string{"# head\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash iommu=pt intel_iommu=on \" # tail\n\nGRUB_TIMEOUT=5"},
		},
		"replaced in both variables": {
			args:  "hugepagesz=1G hugepages=16 hugepagesz=2M hugepages=512",
			files: []string{"GRUB_CMDLINE_LINUX='hugepages=3 console=ttyS0'\nGRUB_CMDLINE_LINUX_DEFAULT=\"hugepagesz=2M  quiet hugepages=4\"\n"},
			want:  []string{"GRUB_CMDLINE_LINUX='console=ttyS0'\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet hugepagesz=1G hugepages=16 hugepagesz=2M hugepages=512\"\n"},
		},
		"the last word is in another file": {
			args: "a=1", absent: "quiet",
			files: []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet console=tty1\"\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=1M\"\n"},
			want:  []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty1\"\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=1M a=1\"\n"},
		},
		"no variable": {
			args:  "a=1",
			files: []string{"GRUB_TIMEOUT=5"},
			want:  []string{"GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"a=1\"\n"},
		},
		"in front of --": {
			args:  "a=1",
			files: []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"quiet -- a=2\"\n"},
			want:  []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"quiet a=1 -- a=2\"\n"},
		},
		"one value": {
			absent: "console=ttyS0",
			files:  []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty0 console=ttyS0 console=ttyS0,115200\"\n"},
			want:   []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty0 console=ttyS0,115200\"\n"},
		},
		"dashes, no quotes, nothing": {
			args:  "intel_iommu=on",
			files: []string{"GRUB_CMDLINE_LINUX=intel-iommu=off\nGRUB_CMDLINE_LINUX_DEFAULT=\n"},
			want:  []string{"GRUB_CMDLINE_LINUX=\"\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"intel_iommu=on\"\n"},
		},
		"what a shell would read": {
			args:  "memmap=64G$4G",
			files: []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"},
			want:  []string{"GRUB_CMDLINE_LINUX_DEFAULT=\"quiet memmap=\\\"64G\\\\\\$4G\\\"\"\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var all stores
			for i, text := range c.files {
				all = append(all, store{Path: string(rune('a' + i)), Text: text, Format: shellVariables})
			}
			r := ask(c.args, c.absent)
			got, err := all.edited(r, normalEntry)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if got[i].Text != c.want[i] {
					t.Errorf("%q\nbecomes %q\nwant    %q", c.files[i], got[i].Text, c.want[i])
				}
			}
			value, _, err := evaluated(got)
			if err != nil || !r.settles(r.of(grubWords(value[everyEntry]+" "+value[normalEntry]))) {
				t.Errorf("%q does not settle %v: %v", value, r, err)
			}
			again, err := got.edited(r, normalEntry)
			if err != nil || !slices.Equal(again, got) {
				t.Errorf("edited once more: %q, %v", again, err)
			}
			for i := range got {
				back, err := got[i].restored(r, all[i], got[i])
				if err != nil || back != all[i] {
					t.Errorf("%q goes back to %q, %v", got[i].Text, back.Text, err)
				}
			}
		})
	}
	if _, err := (stores{{Path: "f", Text: "GRUB_CMDLINE_LINUX='a -- b'\n", Format: shellVariables}}).edited(ask("a=1", ""), normalEntry); err == nil {
		t.Error("what follows -- goes to init")
	}
}

func FuzzGRUBWords(f *testing.F) {
	f.Add(`linux /boot/vmlinuz "a b" 'c' \$ ${x} # y`)
	f.Add("menuentry 'x' {\n}\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		at := 0
		for _, w := range grubWords(text) {
			if w.from < at || w.to <= w.from || w.to > len(text) {
				t.Fatalf("%q: a word at %d to %d, after one that ends at %d", text, w.from, w.to, at)
			}
			at = w.to
		}
	})
}

// FuzzDefaults: what is edited settles the request, is not edited again, and
// goes back to the byte.
func FuzzDefaults(f *testing.F) {
	f.Add("GRUB_CMDLINE_LINUX_DEFAULT=\"quiet a=2\"\nGRUB_CMDLINE_LINUX='b' # c\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT d\"")
	f.Add("if x; then\nGRUB_CMDLINE_LINUX=a\nfi\n", "")
	f.Add("GRUB_CMDLINE_LINUX=\"-- a\"", "export GRUB_CMDLINE_LINUX+=\" a-b=1\"")
	f.Fuzz(func(t *testing.T, first, second string) {
		all := stores{{Path: "first", Text: first, Format: shellVariables}, {Path: "second", Text: second, Format: shellVariables}}
		r := ask("a=1 a_b=2 a=3", "quiet b=7")
		got, err := all.edited(r, normalEntry)
		if err != nil {
			return // refused
		}
		value, _, err := evaluated(got)
		if err != nil {
			t.Fatalf("%q was edited to what is refused: %v", all, err)
		}
		if strings.Contains(first+second, "+=") || strings.ContainsAny(value[everyEntry]+value[normalEntry], ";&|<>\\'$\n#\"") {
			return // words that grow together, and what is no list of arguments
		}
		if h := r.of(grubWords(value[everyEntry] + " " + value[normalEntry])); !r.settles(h) {
			t.Fatalf("%q\nwas edited to\n%q\nwhich has %v", all, got, h)
		}
		for i := range got {
			back, err := got[i].restored(r, all[i], got[i])
			if err != nil || back != all[i] {
				t.Fatalf("%q goes back to %q, %v", all[i].Text, back.Text, err)
			}
		}
	})
}
