"""Two hundred lines as people write them every day, in eight languages: no rule of ours may refuse one of them.

Among them is what a careless rule takes for a link or a blocked word: times, sums, versions, files, abbreviations,
sentences without a space between them, names with dots, and words that hold others.
"""

ENGLISH = """
hey everyone, who's in the lobby?
Can you hear me now? My mic was off...
brb, getting coffee
That scene is gorgeous. Did you make it in Blender?
I uploaded scene.glb and the README.md, let me know if it loads.
We meet at 5.30 p.m. or so, ok?
lol same here
It costs 3.50, not 35.0.
Thanks!Now I get it.
ok.so what do we do next
wait...what happened to the chair?
Version 2.1.4 fixes the shadows.
she'll be back in a minute, he'll wait
I.e. the lamp on the left, e.g. that one.
The classic assassin game, with a bass line to pass the time.
Let's go to Essex, Scunthorpe or Penistone, whichever is nearer.
@alice did you see what @hive.fund voted for?
A, B, C: pick one. I pick B.
Is it a bug or a feature? I'd say it's a glass half full.
Hello from the U.S.A. to the U.K.!
my photo is DSC_0042.JPG, the other is pano-final-2.png
10/10 would sit in this cocktail bar again
main.py crashes on line 12, setup.sh works
No.5 is alive :)
Mr.Smith and Dr. Jones are in room 4.
"""
GERMAN = """
Hallo zusammen, wer ist noch da?
Ich bin um 20.15 Uhr wieder hier.
Das ist z.B. eine schöne Szene, d.h. sie gefällt mir.
Genau.Das meinte ich.
Kannst du bitte etwas lauter reden?
Ich habe die Datei szene.glb hochgeladen, siehe auch LIESMICH.txt.
u.a. fehlt noch das Licht, usw.
Na ja, das kostet 12,50 Euro bzw. 1.250 Punkte.
Mein Headset hat 90 Hz, deins auch?
Am 3.12. treffen wir uns, oder am 4.1.?
Prima!Danke dir.
Wer hat den Stuhl in die Mitte gestellt?
Ich find's toll, ehrlich gesagt.
Kassel, Passau und Essen sind auch dabei.
Die Klasse fasst dreißig Leute.
Moin! Alles klar bei euch?
Sehr geehrter Herr Dr. Meier, vielen Dank.
Warte mal... ich hör dich nicht
Nr. 7 ist die beste, finde ich.
@bob kommst du mit in den Garten?
Der Ton ist weg, das Bild ruckelt.
Ich geh mal eben Kaffee holen, bis gleich
St. Gallen oder St. Pölten?
Das Passwort musst du selbst wissen ;)
Schluss für heute, gute Nacht!
"""
SPANISH = """
¡Hola a todos! ¿Quién está aquí?
No te oigo, ¿puedes hablar más alto?
Nos vemos a las 8.30 p. m., ¿vale?
Qué bonita escena.Me encanta.
He subido la foto IMG_2041.jpg al espacio.
Cuesta 3.500 pesos, o sea, nada.
jajaja qué risa
El Sr. López y la Sra. Díaz ya llegaron.
¿Me pasas el archivo casa.glb?
EE. UU. y España están en la lista.
p. ej., esta silla de aquí
Espera... ahora sí
Hoy es 12.10.2026, ¿no?
Voy a computar los puntos y a disputar la final.
Me duele la cabeza, vuelvo en 5 min.
¡Enhorabuena, @carol!
Está en el cuarto 3.B, al fondo
Más o menos, ni fu ni fa
La clase de las diez es la mejor
El reputado pintor vive en Badajoz.
Gracias.Hasta luego.
¿Quién movió la lámpara?
a ver si funciona el micro
Ya sé, ya sé... perdón
Buenas noches, que descansen
"""
FRENCH = """
Salut tout le monde, ça va ?
Je ne t'entends pas, ton micro est coupé.
On se retrouve à 20h30, d'accord ?
C'est magnifique.Bravo !
J'ai mis la scène dans maison.glb, c'est 12.5 Mo.
p. ex. cette chaise-là
M. Dupont et Mme Martin sont arrivés.
Attends... je reviens tout de suite
Ça coûte 3,50 €, pas plus.
S.V.P., qui a bougé la lampe ?
Il s'agit d'un casse-tête, pas d'un jeu.
mdr trop drôle
C.-à-d. qu'il faut attendre ?
La version 1.0.3 est sortie hier.
@alice tu viens dans le jardin ?
Je suis à l'étage no. 2
Bon ben, j'y vais. À demain !
Le 14.07.2026, c'est férié.
On dirait un tableau d'Ernest, n'est-ce pas ?
Merci.Merci beaucoup.
Qui veut un café ? Moi !
J'adore la lumière ici
Ma classe passe son bac à Cassis.
Non mais... sérieusement ?
Bonne nuit à toutes et à tous
"""
PORTUGUESE = """
Oi, gente! Quem está na sala?
Não estou te ouvindo, liga o microfone.
A gente se vê às 19.30, pode ser?
Que lindo.Adorei!
Mandei o arquivo casa.glb e a foto foto_01.png.
Custa R$ 3.500,00 mais ou menos
kkkkk muito bom
O Sr. Silva e a Dra. Souza chegaram.
Espera... agora foi
Ex.: aquela cadeira ali
Hoje é 12.10.2026, né?
Vou disputar a final amanhã
@dave vem pro jardim?
Quarto 2.C, no fim do corredor
Tô voltando em 5 min
Obrigado.Até logo.
Quem mexeu na lâmpada?
A classe toda passou!
Acho que é por aqui, ou não
Versão 3.2.1 já saiu
Putz, esqueci o fone
Fica à vontade, a casa é sua
Boa noite, durmam bem
Já vi, já vi... desculpa
No. 5 é o melhor
"""
RUSSIAN = """
Всем привет, кто тут?
Я вас не слышу, включите микрофон.
Встречаемся в 20.30, ок?
Очень красиво.Спасибо!
Загрузил файл сцена.glb и фото IMG_11.jpg.
Это стоит 3.50, т.е. почти ничего.
и т.д. и т.п.
т.к. света мало, ничего не видно
ахаха, ну ты даёшь
г.Москва, ул. Ленина, д. 5
Подождите... сейчас вернусь
Он сказал: «Хорошо», — и ушёл.
Сегодня 12.10.2026, верно?
Кто сдвинул стул?
@alice, идёшь в сад?
Версия 1.2.3 уже вышла
Сор из избы не выносят.
Рот закрой, пожалуйста, эхо :)
У меня 5 б класс, а у тебя?
А, б, в, г, д: выбирай
Не могу, занят до вечера
Мне бы чаю... и тебе?
Да ладно, бывает
Спокойной ночи всем
Нет, это не он, а она
"""
CHINESE = """
大家好，有人在吗？
我听不见你说话，麦克风开了吗
晚上8.30见，可以吗？
这个场景太漂亮了！谢谢你
我上传了scene.glb，你看看。
价格是3.5元，不贵
哈哈哈哈笑死我了
等一下……我马上回来
版本2.0.1修好了阴影
今天是2026.10.12吧
谁把椅子搬走了？
@bob 一起去花园吗？
第3.中国队赢了
A.公园 B.商店 C.学校，选一个
我家在上海，你呢？
这个博物馆的赌石展很有意思
他在打工，晚上才来
没关系，慢慢来
我用VR头盔看电影
好的。好的。明白了。
音量调到50%就行
你的头像是什么动物
下雨了，回家吧
周末一起玩！
晚安，明天见
"""
JAPANESE = """
こんにちは、誰かいますか？
声が聞こえないよ、マイク入ってる？
8.30に集合でいいですか
すごくきれいなシーンですね！
scene.glbをアップロードしました。
値段は3.5ドルくらいかな
あはは、面白い
ちょっと待って…すぐ戻る
バージョン2.0.1で直りました
今日は2026.10.12ですよね
椅子を動かしたのは誰？
@carol さん、庭に行きますか
毎日。本が好きです
A.公園 B.店 C.学校
VRヘッドセットで映画を見る
ばかりじゃなくて、たまには外へ
お墓参りに行ってきた
大丈夫、ゆっくりでいいよ
音量を50%にしてください
了解です。ありがとう
雨だから帰ろうか
週末に遊ぼう！
そのアバターかわいい
写真はIMG_01.jpgです
おやすみなさい、また明日
"""
LINES = [
    line
    for language in (ENGLISH, GERMAN, SPANISH, FRENCH, PORTUGUESE, RUSSIAN, CHINESE, JAPANESE)
    for line in language.strip().splitlines()
]
