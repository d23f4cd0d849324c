package security

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

const (
	lawProfile = apparmorDir + "/weft-laws"
	lawLocal   = apparmorDir + "/local/weft-laws"
	lawForced  = apparmorDir + "/force-complain/weft-laws"
	profileLaw = "include <tunables/global>\n\nprofile weft-laws {\n  /etc/hosts r,\n  include if exists <local/weft-laws>\n}\n"
)

// apparmorHost has the files alone, as a kernel without AppArmor leaves them.
func apparmorHost() *fake.Machine {
	m := fake.New()
	m.WriteFile(lawProfile, profileLaw)
	m.WriteFile(apparmorDir+"/abstractions/libvirt-qemu", "  include if exists <local/abstractions/libvirt-qemu>\n")
	m.Mkdir(apparmorDir + "/local")
	m.Mkdir(apparmorDir + "/force-complain")
	m.Program("apparmor_parser", func(_ *fake.Machine, c host.Command) host.Result {
		if strings.Contains(string(c.Stdin), "nonsense") {
			return host.Result{Exit: 1, Stderr: []byte("AppArmor parser error at line 3: syntax error\n")}
		}
		return host.Result{}
	})
	return m
}

// confined is a host whose kernel goes by what apparmor.service loads.
func confined() *fake.Machine {
	m := apparmorHost()
	m.SetKernel(apparmorOn, "Y")
	m.WriteFile("/usr/lib/systemd/system/apparmor.service", "[Service]\nType=oneshot\nExecStart=/lib/apparmor/apparmor.systemd reload\nRemainAfterExit=yes\n")
	m.OnUnit(apparmorUnit, func(m *fake.Machine, verb host.UnitVerb) error {
		if verb == host.Start {
			local, _ := m.File(lawLocal)
			mode := "enforce"
			if _, err := m.Host().Files.Stat(context.Background(), lawForced); err == nil {
				mode = "complain"
			}
			m.SetKernel(profilesFile, "other (complain)\nweft-laws ("+mode+")")
			m.SetKernel("/sys/kernel/security/apparmor/fake-rules", strings.Join(rulesIn(local), " "))
		}
		return nil
	})
	m.Systemctl(host.Start, apparmorUnit)
	return m
}

func appArmorSubject(machine func() *fake.Machine) steptest.Subject {
	link := steptest.Hand{Name: "mode", Fake: func(m *fake.Machine) { m.Symlink(lawForced, lawProfile); reload(m) }, Host: steptest.Run("ln", "-sf", lawProfile, lawForced)}
	unlink := steptest.Hand{Name: "mode", Fake: func(m *fake.Machine) { m.Remove(lawForced); reload(m) }, Host: steptest.Run("rm", lawForced)}
	local := func(name, text string) steptest.Hand {
		return steptest.Hand{Name: name, Fake: func(m *fake.Machine) { m.WriteFile(lawLocal, text); reload(m) }, Host: typed(lawLocal, text)}
	}
	link.Name = "complaining"
	linked := link
	link.Name = "mode"
	return steptest.Subject{
		Kind:    apparmorKind(),
		Machine: machine,
		Policy:  []string{"state"},
		Found:   []steptest.Hand{{Name: "untouched"}, local("with others", "# by hand\n  /srv/**   rw,\n/run/x r"), linked},
		Forget:  reload,
		Cases: []steptest.Case{
			{Name: "whole", Spec: AppArmorSpec{Profile: "weft-laws", Rules: []string{"/run/x  r", "/run/openvswitch/* rw,"}, Mode: step.Is("complain")},
				Drift: []steptest.Hand{local("rules", "/run/x r,\n"), unlink}, Spellings: []steptest.Hand{local("blanks", "\t/run/x r,\n/run/openvswitch/*   rw,\n")}},
			{Name: "enforced", Spec: AppArmorSpec{Profile: "weft-laws", Mode: step.Is("enforce")}, Drift: []steptest.Hand{link}},
			{Name: "absent", Spec: AppArmorSpec{Profile: "weft-laws", Rules: []string{"/run/x r,"}, State: step.Absent}, Drift: []steptest.Hand{local("rules", "/run/x r,\n")}},
		},
		Touches: steptest.Touches{Files: []string{lawLocal, lawForced}},
		Clean:   sequence(steptest.Run("rm", "-f", lawLocal, lawForced), typed(lawProfile, profileLaw)),
	}
}

// reload is what apparmor.service does for a hand, and a next run for a killed one.
func reload(m *fake.Machine) {
	if m.UnitState(apparmorUnit).ActiveState == "active" {
		m.Systemctl(host.Restart, apparmorUnit)
	}
}

func TestAppArmorLaws(t *testing.T) { laws(t, appArmorSubject(apparmorHost)) }

func TestAppArmorLawsConfined(t *testing.T) {
	if os.Getenv("WEFT_LAWS_HOST") == "1" {
		t.Skip("no kernel of the lab has AppArmor: what needs one is tried on the fake alone")
	}
	laws(t, appArmorSubject(confined))
}

func TestAppArmorLawsOfAnAbstraction(t *testing.T) {
	const part, at = "abstractions/weft-laws", apparmorDir + "/local/abstractions"
	laws(t, steptest.Subject{
		Kind: apparmorKind(),
		Machine: func() *fake.Machine {
			m := apparmorHost()
			m.WriteFile(apparmorDir+"/"+part, "  include if exists <local/"+part+">\n")
			return m
		},
		Policy: []string{"state", "mode"},
		Cases: []steptest.Case{{Name: "whole", Spec: AppArmorSpec{Profile: part, Rules: []string{"/run/openvswitch/* rw,"}}, Drift: []steptest.Hand{
			{Name: "rules", Fake: func(m *fake.Machine) { m.Remove(at + "/weft-laws") }, Host: steptest.Run("rm", at+"/weft-laws")},
		}}},
		Touches: steptest.Touches{Files: []string{at}},
		Clean:   sequence(steptest.Run("rm", "-rf", at), typed(apparmorDir+"/"+part, "  include if exists <local/"+part+">\n")),
	})
}

func TestAppArmorSays(t *testing.T) {
	m := confined()
	f, err := check(t, apparmorKind(), m, AppArmorSpec{Profile: "weft-laws", Rules: []string{"/a r"}})
	if err != nil || len(f.Needs) != 1 || f.Needs[0].Object != apparmorUnit || len(f.Warnings) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = check(t, apparmorKind(), m, AppArmorSpec{Profile: "abstractions/libvirt-qemu", Rules: []string{"/a r"}})
	if err != nil || len(f.Needs) != 0 || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "when it starts") {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = check(t, apparmorKind(), apparmorHost(), AppArmorSpec{Profile: "weft-laws", Rules: []string{"/a r"}})
	if err != nil || len(f.Needs) != 0 || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "not at work") {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err = check(t, apparmorKind(), m, AppArmorSpec{Profile: "weft-laws", Rules: []string{"nonsense here"}}); err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("%v", err)
	}
	if _, err = check(t, apparmorKind(), m, AppArmorSpec{Profile: "gone"}); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("%v", err)
	}
	m.WriteFile(lawProfile, "profile weft-laws flags=(attach_disconnected,complain) {\n}\n")
	if _, err = check(t, apparmorKind(), m, AppArmorSpec{Profile: "weft-laws", Mode: step.Is("enforce")}); err == nil || !strings.Contains(err.Error(), "aa-enforce") {
		t.Errorf("%v", err)
	}
	for want, spec := range map[string]AppArmorSpec{
		"profile":  {Profile: "../x"},
		"rules[0]": {Profile: "x", Rules: []string{"}"}},
		"rules[1]": {Profile: "x", Rules: []string{"/a r,", "# c"}},
		"mode":     {Profile: "abstractions/x", Mode: step.Is("enforce")},
		"":         {Profile: "x", Rules: []string{"/a r", "include <abstractions/base>", "capability net_admin,"}, Mode: step.Is("complain")},
	} {
		if got := problems(&spec); got != want {
			t.Errorf("%+v: %q, want %q", spec, got, want)
		}
	}
}

func TestProfileNames(t *testing.T) {
	got := profileNames("include <x>\nprofile virtqemud /usr/sbin/virtqemud flags=(attach_disconnected) {\n  profile child {\n  }\n}\n/usr/sbin/foo {\n}\n\"/a b\" {\n# profile x {\n")
	if !slices.Equal(got, []string{"virtqemud", "/usr/sbin/foo", "/a"}) && !slices.Equal(got, []string{"virtqemud", "/usr/sbin/foo"}) {
		t.Error(got)
	}
}

func FuzzAppArmorText(f *testing.F) {
	f.Add("# x\n /a  r\n/b rw,\n", "/a r")
	f.Add("profile x {\n/ {\n\" {", "#include <y>")
	f.Fuzz(func(t *testing.T, text, rule string) {
		profileNames(text)
		modeIn(text, rule)
		if spec := (AppArmorSpec{Profile: "x", Rules: []string{rule}}); problems(&spec) != "" {
			return
		}
		rule = canonicalAppArmor(rule)
		set := setRules(text, map[string]step.Attr[bool]{rule: step.Is(true)})
		if !slices.Contains(rulesIn(set), rule) {
			t.Fatalf("%q is not in %q", rule, set)
		}
		if left := setRules(set, map[string]step.Attr[bool]{rule: step.None[bool]()}); slices.Contains(rulesIn(left), rule) {
			t.Fatalf("%q is still in %q", rule, left)
		}
	})
}
