package procfs

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"github.com/hanwen/go-fuse/v2/fuse"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// confDir has the settings of a namespace, and those of devices for all of its devices at once; in dev/DEV are those of one.
// A name is that of the setting with underscores, as sysctls have it, and so are the values.
type confDir struct{}

func (confDir) path() string { return "conf/" }

func (confDir) find(_ *space, name string) (*file, directory) {
	if name == devicesName {
		return nil, devicesDir{}
	}
	if f := namespaceSwitch(name); f != nil {
		return f, nil
	}
	return deviceSwitch(name, ""), nil
}

func (confDir) list(*space) []fuse.DirEntry {
	names := append(settingNames(setting.Namespaces), settingNames(setting.Devices)...)
	names = append(names, rateLimitName)
	slices.Sort(names)
	list := []fuse.DirEntry{{Name: devicesName, Mode: syscall.S_IFDIR}}
	for _, name := range slices.Compact(names) {
		list = append(list, fuse.DirEntry{Name: name, Mode: syscall.S_IFREG})
	}
	return list
}

// devicesName is the directory of the devices in that of the settings, which has no setting of that name.
const devicesName = "dev"

// devicesDir has a directory for each device.
type devicesDir struct{}

func (devicesDir) path() string { return "conf/dev/" }

func (devicesDir) find(s *space, name string) (*file, directory) {
	if _, err := s.tree.Table.Links(s.name, name); err != nil || name == "" {
		return nil, nil
	}
	return nil, deviceDir{name}
}

func (devicesDir) list(s *space) []fuse.DirEntry {
	links, _ := s.tree.Table.Links(s.name, "") // none in a namespace that has just gone
	var list []fuse.DirEntry
	for i := range links {
		list = append(list, fuse.DirEntry{Name: links[i].Name, Mode: syscall.S_IFDIR})
	}
	return list
}

// deviceDir has the settings of a device.
type deviceDir struct{ device string }

func (d deviceDir) path() string { return "conf/dev/" + d.device + "/" }

func (d deviceDir) find(_ *space, name string) (*file, directory) {
	return deviceSwitch(name, d.device), nil
}

func (deviceDir) list(*space) []fuse.DirEntry {
	var list []fuse.DirEntry
	for _, name := range settingNames(setting.Devices) {
		list = append(list, fuse.DirEntry{Name: name, Mode: syscall.S_IFREG})
	}
	return list
}

// settingNames are the names of the files, without the setting that makes and takes Linux namespaces.
func settingNames[T any](table setting.Table[T]) []string {
	var names []string
	for i := range table {
		if name := table[i].Name; name != "host" {
			names = append(names, fileName(name))
		}
	}
	return names
}

func fileName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// isSetting tells whether a file is there for a setting.
func isSetting[T any](table setting.Table[T], name string) bool {
	return slices.Contains(settingNames(table), name)
}

// valueOf is a setting's value as a sysctl has it.
func valueOf[T any](table setting.Table[T], v *T, name string) string {
	for _, value := range table.Values(v, true) {
		if fileName(value.Name) == name {
			return table.Sysctl(value)
		}
	}
	return ""
}

// rateLimitName is how Linux has limits of ICMP errors: milliseconds between two, there for each receiver, here for all of
// the namespace together. It is icmp-msgs-per-sec otherwise.
const (
	rateLimitName = "icmp_ratelimit"
	perSecond     = "icmp_msgs_per_sec"
)

// namespaceSwitch is the file of a setting of the namespace, or nil.
func namespaceSwitch(name string) *file {
	of, convert := name, func(s string) string { return s }
	if name == rateLimitName {
		of, convert = perSecond, reciprocal
	} else if !isSetting(setting.Namespaces, name) {
		return nil
	}
	return &file{
		name: "conf/" + name,
		write: func(s *space, o *output) error {
			o.printf("%s\n", convert(valueOf(setting.Namespaces, s.public.Settings(), of)))
			return nil
		},
		set: func(s *space, r Reader, value string) error {
			return s.tree.Change(r, &v1.ChangeRequest{Netns: s.name, Op: &v1.ChangeRequest_NetnsSet{NetnsSet: &v1.NetnsSet{
				Name: s.name, Settings: []*v1.Setting{{Name: setting.Canonical(of), Value: convert(strings.TrimSpace(value))}},
			}}})
		},
	}
}

// reciprocal turns milliseconds between two into how many a second, and back; 0 is no limit in both. What is no number stays,
// and is refused.
func reciprocal(s string) string {
	const second = 1000
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return s
	}
	return strconv.FormatUint(max(1, (second+n/2)/n), 10)
}

// deviceSwitch is the file of a setting of a device, or of all devices but lo if device is "", or nil.
func deviceSwitch(name, device string) *file {
	if !isSetting(setting.Devices, name) {
		return nil
	}
	return &file{
		name: deviceDir{device}.path() + name,
		write: func(s *space, o *output) error {
			links, err := s.devices(device)
			if err != nil {
				return err
			}
			o.printf("%s\n", highest(links, name))
			return nil
		},
		set: func(s *space, r Reader, value string) error {
			links, err := s.devices(device)
			if err == nil && len(links) == 0 {
				err = connect.NewError(connect.CodeNotFound, errors.New("there is no device besides lo"))
			}
			for i := range links {
				if err != nil {
					break
				}
				err = s.tree.Change(r, &v1.ChangeRequest{Netns: s.name, Op: &v1.ChangeRequest_LinkSet{LinkSet: &v1.LinkSet{
					Name: links[i].Name, Settings: []*v1.Setting{{Name: setting.Canonical(name), Value: strings.TrimSpace(value)}},
				}}})
			}
			return err
		},
	}
}

// devices are the device of a name, or all but lo.
func (s *space) devices(name string) ([]nstable.LinkInfo, error) {
	links, err := s.tree.Table.Links(s.name, name)
	if err == nil && name == "" {
		links = slices.DeleteFunc(links, func(l nstable.LinkInfo) bool { return l.Kind == nstable.Loopback })
	}
	return links, err
}

// highest is the highest value that some device has of a setting, its default where there is none.
func highest(links []nstable.LinkInfo, name string) string {
	if len(links) == 0 {
		return valueOf(setting.Devices, setting.Devices.Default(), name)
	}
	best := ""
	for i := range links {
		value := valueOf(setting.Devices, links[i].Settings, name)
		n, err := strconv.ParseUint(value, 10, 32)
		m, bestErr := strconv.ParseUint(best, 10, 32)
		if best == "" || err == nil && (bestErr != nil || n > m) {
			best = value
		}
	}
	return best
}

// errnoOf is what write(2) says of a change that was refused.
func errnoOf(err error) syscall.Errno {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return syscall.EIO
	}
	switch coded.Code() {
	case connect.CodeInvalidArgument:
		return syscall.EINVAL
	case connect.CodePermissionDenied:
		return syscall.EPERM
	case connect.CodeNotFound:
		return syscall.ENOENT
	}
	return syscall.EIO
}
